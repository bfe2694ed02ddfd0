"""Communication between nodes that train one network together, and their training step.

Every node runs the same program on its shard of every batch, with TensorFlow's
MultiWorkerMirroredStrategy. Gradients are summed over the nodes, so all nodes have the same
weights. BatchNorm's moving statistics are each node's own and are averaged where they are used.
All calls that talk to other nodes are made in the same order on every node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError, NodeLost
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.progress import Busy
from pplcnet.system.wording import listed
from pplcnet.training.group import Alone, Group
from pplcnet.training.interruption import signal_of
from pplcnet.training.node_step import NodeStep
from pplcnet.training.nodes import Nodes

__all__ = ["joined"]

DIGEST_BYTES = 32


@contextmanager
def joined(
    nodes: Nodes | None, alike: Mapping[str, str], busy: Busy, report: Callable[[str], None]
) -> Iterator[Group]:
    """Within, this process is one of the nodes, all of them connected; `Alone` without nodes.

    Allowed once per process, before TensorFlow is used for anything else.

    Args:
        alike: what has to be the same on every node, by name.

    Raises:
        InputError: another backend than TensorFlow, or nodes that differ in `alike`.
        NodeLost: another node ended.
    """
    if nodes is None:
        yield Alone()
        return
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "several nodes train with TensorFlow only; this is "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow on all of them."
        )
    import tensorflow as tf

    report(
        f"{nodes.name(nodes.index)} of {len(nodes.addresses)}. Anyone who can reach these ports "
        "can take part, because TensorFlow has no authentication. Use a private network."
    )
    try:
        with busy("waiting for the other nodes"):
            group = _NodeGroup(nodes)
        group.compare(alike)
        yield group
    except (tf.errors.OpError, RuntimeError) as error:
        lost = _lost(nodes, error)
        if lost is None:
            raise
        raise lost from error


def _lost(nodes: Nodes, error: Exception) -> NodeLost | None:
    """The error for a lost node; None if `error` is this node's own."""
    text = str(error)
    named = {int(each) for each in re.findall(r"/task:(\d+)", text)} - {nodes.index}
    gone = nodes.silent()
    if not gone and not isinstance(error, _unreachable()):
        return None
    names = [nodes.name(each) for each in gone or sorted(named) if each < len(nodes.addresses)]
    return NodeLost(
        f"{listed(names) if names else 'another node'} ended or cannot be reached, so this node "
        "stops too. Start all nodes again with --resume; they continue from the last saved epoch."
    )


def _unreachable() -> tuple[type[Exception], ...]:
    import tensorflow as tf

    of_tensorflow = tf.errors
    return (
        of_tensorflow.UnavailableError, of_tensorflow.AbortedError,
        of_tensorflow.DeadlineExceededError, of_tensorflow.CancelledError,
    )  # fmt: skip


class _NodeGroup:
    """The nodes, connected by TensorFlow's strategy."""

    def __init__(self, nodes: Nodes) -> None:
        import tensorflow as tf

        cluster = tf.train.ClusterSpec({"worker": list(nodes.addresses)})
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            cluster, task_type="worker", task_id=nodes.index, rpc_layer="grpc"
        )
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)

        @tf.function(reduce_retracing=True)
        def total(values: Any) -> Any:
            def own(values: Any) -> Any:
                context = tf.distribute.get_replica_context()
                # A tensor on the replica's own device, unlike the argument.
                return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

            return strategy.run(own, args=(values,))

        self.index, self.count = nodes.index, len(nodes.addresses)
        self.strategy = strategy
        self._nodes, self._total = nodes, total
        self._own_signal: Callable[[], int] = lambda: 0
        self._agreed = 0
        if strategy.num_replicas_in_sync != self.count:
            raise InputError(
                f"TensorFlow sees {strategy.num_replicas_in_sync} devices on {self.count} nodes; a "
                "node has one: start a node for every GPU, each with its own CUDA_VISIBLE_DEVICES."
            )

    def compare(self, alike: Mapping[str, str]) -> None:
        """InputError that names what differs between this node and another."""
        names = list(alike)
        rows = np.zeros((self.count, len(names), DIGEST_BYTES), np.int32)
        for at, name in enumerate(names):
            rows[self.index, at] = np.frombuffer(sha256(alike[name].encode()).digest(), np.uint8)
        rows = self._sum(rows)
        others = {
            node: [name for at, name in enumerate(names) if (rows[node, at] != rows[0, at]).any()]
            for node in range(1, self.count)
        }
        faults = [
            f"{self._nodes.name(node)} has other {' and '.join(differ)}"
            for node, differ in others.items()
            if differ
        ]
        if faults:
            raise InputError(
                f"the nodes do not train the same thing: {listed(faults)} than "
                f"{self._nodes.name(0)}; start every node with the same command, photos and "
                "version of pplcnet."
            )

    def shared(self, recipe: Recipe) -> Recipe:
        return self._nodes.shared(recipe)

    def step_of(self, model: keras.Model) -> Any:
        return NodeStep(model, self.strategy, self.is_stopped, self.learn)

    def watch(self, interrupted: Callable[[], int]) -> Callable[[], int]:
        self._own_signal = interrupted
        return lambda: self._agreed

    def is_stopped(self) -> bool:
        """Whether this node got a signal."""
        return self._own_signal() > 0

    def agree(self) -> None:
        self.learn(float(self._sum(np.asarray([self.is_stopped()], np.float32))[0]))

    def learn(self, stopped: float) -> None:
        """Record how many of the nodes, or what fraction of them, got a signal."""
        if stopped and not self._agreed:
            self._agreed = self._own_signal() or signal_of(KeyboardInterrupt())

    def from_first(self, values: Sequence[float]) -> list[float]:
        content = np.asarray(values, np.float64).view(np.int32)
        return list(map(float, self._of_first(content).view(np.float64)))

    def share(self, variables: Sequence[keras.Variable]) -> None:
        own = [value_of(each) for each in variables]
        content = _padded(b"".join(each.tobytes() for each in own))
        found = self._of_first(np.frombuffer(content, np.int32)).tobytes()
        start = 0
        for variable, value in zip(variables, own, strict=True):
            taken = np.frombuffer(found, value.dtype, value.size, start)
            variable.assign(taken.reshape(value.shape))
            start += value.nbytes

    def average_statistics(self, model: keras.Model) -> None:
        variables = [
            variable
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        if not variables:
            return
        own = [value_of(each) for each in variables]
        # In single precision, the mean of equal values might not be that value.
        means = self._sum(np.concatenate([each.ravel() for each in own]).astype(np.float64))
        ends = np.cumsum([each.size for each in own])[:-1]
        for variable, mean in zip(variables, np.split(means / self.count, ends), strict=True):
            variable.assign(mean.reshape(variable.shape))

    def send_file(self, path: Path) -> None:
        content = path.read_bytes() if self.index == 0 and path.is_file() else b""
        size = int(self.from_first([len(content)])[0])
        if not size:
            return
        whole = np.zeros(-(-size // 4), np.int32)
        if content:
            whole = np.frombuffer(_padded(content), np.int32)
        received = self._of_first(whole).tobytes()[:size]
        if self.index:
            path.write_bytes(received)

    def _of_first(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Node 0's values: adding zeros to integers is exact, whatever their bits stand for."""
        return self._sum(np.zeros_like(values) if self.index else values)

    def _sum(self, values: NDArray[Any]) -> NDArray[Any]:
        import tensorflow as tf

        return np.asarray(self._total(tf.constant(values)).numpy())


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
