"""Training steps on every backend, on one device or on several GPUs of one machine.

A step takes uint8 images, which are normalised on the device, and returns its loss and metrics
without waiting for them. On a GPU the next batch is loaded and copied meanwhile; Keras' own
`train_on_batch` waits for every step.

Several GPUs use TensorFlow's MirroredStrategy, several machines its
MultiWorkerMirroredStrategy (`node_group`), with Keras' own training step on every device.
Gradients are summed over the devices. In training, BatchNorm uses the statistics of each device's
own shard; its moving statistics are averaged over all (Goyal et al. 2017, arXiv 1706.02677).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import RecipeError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.group import Alone, Group

__all__ = ["Devices", "Step", "has_gpu", "normalize_in_step"]


class Step(Protocol):
    """A training step of one model."""

    def place(self, values: NDArray[Any]) -> Any:
        """Start copying part of a batch to the device, ahead of the step; returns the copy."""
        ...

    def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
        """Train on a batch; returns its loss and metrics, which may still be in flight."""
        ...

    def finish(self) -> None:
        """Write what the steps have changed back to the model's variables."""
        ...


class Devices:
    """Where the steps of a run are computed: on one device, or on the recipe's number of them."""

    def __init__(self, recipe: Recipe, group: Group | None = None) -> None:
        """RecipeError for more devices than this machine has, or a backend that cannot use them.

        Args:
            group: nodes with one device each; together they make up the recipe's `devices`.
        """
        self._group = group or Alone()
        self._strategy = self._group.strategy
        if self._strategy is None and recipe.devices > 1:
            self._strategy = _strategy(recipe.devices)

    def scope(self) -> AbstractContextManager[Any]:
        """The context in which models to be trained are built and compiled."""
        return nullcontext() if self._strategy is None else self._strategy.scope()

    def step_of(self, model: keras.Model) -> Step:
        """The training step of a model that was built and compiled in the scope."""
        if self._strategy is not None:
            of_nodes: Step | None = self._group.step_of(model)
            return of_nodes or _SharedStep(model, self._strategy)
        kinds: dict[str, Callable[[keras.Model], Step]] = {
            "tensorflow": _TensorFlowStep,
            "jax": _JaxStep,
            "torch": _TorchStep,
        }
        return kinds[keras.backend.backend()](model)

    def on_one(self, model: keras.Model) -> keras.Model:
        """A model with the same layers for prediction on one device, made outside the scope."""
        return (
            model
            if self._strategy is None
            else keras.Model(model.input, model.outputs, name=model.name)
        )


def normalize_in_step(model: keras.Model, preprocessing: Preprocessing) -> None:
    """Make a compiled model normalise uint8 images as part of its training step.

    Other inputs (normalised images, features) stay as they are, and so does prediction. A uint8
    batch is a quarter of the size to copy to the device.
    """
    std = np.asarray(preprocessing.std, np.float32)
    # On the device, once: PyTorch does not compute with arrays, and a copy would wait for the step.
    scale = keras.ops.convert_to_tensor(np.float32(1) / (np.float32(255) * std))
    shift = keras.ops.convert_to_tensor(np.asarray(preprocessing.mean, np.float32) / std)
    own = model.train_step

    def train_step(*arguments: Any) -> Any:
        *state, (images, *rest) = arguments  # JAX passes the variables before the batch
        if keras.backend.standardize_dtype(images.dtype) == "uint8":
            images = keras.ops.cast(images, "float32") * scale - shift
        return own(*state, (images, *rest))

    model.train_step = train_step


class _TensorFlowStep:
    """Keras' step and its metrics as one graph."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._run: Callable[..., Mapping[str, Any]] | None = None

    def place(self, values: NDArray[Any]) -> Any:
        return values

    def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
        if self._run is None:
            _build_metrics(self._model, images, targets)
            self._run = self._traced(images, targets)
        return self._run(images, targets)

    def _traced(self, images: Any, targets: Any) -> Callable[..., Mapping[str, Any]]:
        """One graph for all image sizes, rather than one for the first and another for the rest."""
        import tensorflow as tf

        model = self._model
        shape = (len(images), *model.input_shape[1:])

        @tf.function(
            input_signature=[
                tf.TensorSpec(shape, images.dtype),
                tf.TensorSpec(targets.shape, targets.dtype),
            ],
            # No step needs AutoGraph, and it reads every function's source.
            autograph=False,
        )
        def run(images: Any, targets: Any) -> Any:
            for metric in model.metrics:
                metric.reset_state()
            return model.train_step((images, targets))

        return run

    def finish(self) -> None:
        pass


class _JaxStep:
    """Keras' stateless step, compiled, with the old weights' buffers donated to the new ones.

    Between steps the variables hold donated buffers; `finish` replaces them.
    """

    def __init__(self, model: keras.Model) -> None:
        import jax

        def run(state: Any, images: Any, targets: Any) -> Any:
            metrics = [keras.ops.zeros(each.shape, each.dtype) for each in model.metrics_variables]
            logs, state = model.train_step((*state, metrics), (images, targets))
            return logs, state[:3]

        self._model, self._run = model, jax.jit(run, donate_argnums=0)
        self._put = jax.device_put
        self._state: Any = None

    def place(self, values: NDArray[Any]) -> Any:
        return self._put(values)

    def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
        if self._state is None:
            _build_metrics(self._model, images, targets)
            self._state = tuple([each.value for each in group] for group in self._variables())
        logs, self._state = self._run(self._state, images, targets)
        return dict(logs)

    def finish(self) -> None:
        if self._state is None:
            return
        for group, values in zip(self._variables(), self._state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        self._state = None

    def _variables(self) -> tuple[list[Any], ...]:
        model = self._model
        return (
            model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
        )  # fmt: skip


class _TorchStep:
    """Keras' step, run eagerly."""

    def __init__(self, model: keras.Model) -> None:
        self._model, self._is_first = model, True

    def place(self, values: NDArray[Any]) -> Any:
        import torch

        device, tensor = self._model.variables[0].value.device, torch.from_numpy(values)
        if device.type == "cuda":
            # From pinned memory, the copy is queued behind the pending steps without blocking.
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
        if self._is_first:
            _build_metrics(self._model, images, targets)
            self._is_first = False
        self._model.reset_metrics()
        return dict(self._model.train_step((images, targets)))

    def finish(self) -> None:
        pass


class _SharedStep:
    """Keras' step on every device of a strategy, each with its shard of the batch."""

    def __init__(self, model: keras.Model, strategy: Any) -> None:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def run(data: Any) -> None:
            strategy.run(model.train_step, args=(data,))

        self._model, self._strategy, self._run = model, strategy, run

    def place(self, values: NDArray[Any]) -> Any:
        return values

    def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
        self._model.reset_metrics()
        self._run((self._shared(images), self._shared(targets)))
        return dict(self._model.get_metrics_result())

    def finish(self) -> None:
        pass

    def _shared(self, values: NDArray[Any]) -> Any:
        import tensorflow as tf

        parts = np.split(values, self._strategy.num_replicas_in_sync)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )


def _build_metrics(model: keras.Model, images: Any, targets: Any) -> None:
    """Create the metrics' variables, which a compiled step cannot do."""
    if len(model.metrics) == 1:  # the mean loss, which has its variables
        return
    answers = np.zeros((len(targets), *model.output_shape[1:]), np.float32)
    model.compute_metrics(images, targets, answers)
    model.reset_metrics()


def has_gpu() -> bool:
    """Whether the backend computes on a GPU or another accelerator by default."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return bool(jax.default_backend() != "cpu")
    import torch

    return bool(torch.cuda.is_available())


def _strategy(count: int) -> Any:
    if keras.backend.backend() != "tensorflow":
        raise RecipeError(
            f"devices is {count}; several work with TensorFlow, this is "
            f"{keras.backend.backend()}. Set devices=1, or KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(found) < count:
        raise RecipeError(
            f"devices is {count}; TensorFlow sees {len(found)} {kind} here. Set devices to 1 to "
            f"{len(found)}."
            if len(found) > 1
            else f"devices is {count}; TensorFlow sees one {kind} here. Set devices=1."
        )
    return tf.distribute.MirroredStrategy(found[:count])
