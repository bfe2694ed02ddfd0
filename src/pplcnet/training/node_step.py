"""The training step that several nodes compute together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from numpy.typing import NDArray

__all__ = ["NodeStep"]


class NodeStep:
    """Keras' step on this node's shard of the batch; loss and metrics are means over all shards."""

    def __init__(
        self,
        model: keras.Model,
        strategy: Any,
        is_stopped: Callable[[], bool],
        learn: Callable[[float], None],
    ) -> None:
        """The step for a model built and compiled in the strategy's scope.

        Args:
            is_stopped: whether this node got a signal; called before every step.
            learn: called after every step with the fraction of nodes that did.
        """
        import tensorflow as tf

        self._names: list[str] = []
        mean = tf.distribute.ReduceOp.MEAN

        @tf.function(reduce_retracing=True)
        def run(images: Any, targets: Any, stopped: Any) -> Any:
            def own(images: Any, targets: Any, stopped: Any) -> Any:
                logs = model.train_step((images, targets))
                # After the step, because the first one creates the metrics' variables.
                for metric in model.metrics:
                    metric.reset_state()
                self._names = list(logs)
                figures = [tf.cast(logs[name], tf.float32) for name in self._names]
                context = tf.distribute.get_replica_context()
                return context.all_reduce(mean, tf.stack([*figures, stopped]))

            return strategy.run(own, args=(images, targets, stopped))

        self._run, self._is_stopped, self._learn = run, is_stopped, learn

    def place(self, values: NDArray[Any]) -> Any:
        """The values themselves: a step copies its batch when it starts."""
        return values

    def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
        """Train on this node's shard; returns the loss and metrics of the whole batch."""
        import tensorflow as tf

        stopped = tf.constant(float(self._is_stopped()), tf.float32)
        found = self._run(tf.constant(images), tf.constant(targets), stopped).numpy()
        self._learn(float(found[-1]))
        return dict(zip(self._names, map(float, found[:-1]), strict=True))

    def finish(self) -> None:
        """Nothing to do: variables are up to date after every step."""
