"""Learning from another network: its answers become part of the targets.

A teacher answers to the very pictures that the student sees, cut and mixed alike (Beyer et al.
2021, arXiv 2106.05237), in the fast runtime where it is an exported bundle: in TensorFlow its
forward pass would cost several times the student's step. Keras' own `Distiller` runs teacher and
student in one framework and needs labels; these targets need neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import InputError, RecipeError, UnknownNameError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.weights.keras_files import read_keras_file

__all__ = ["DistillationLoss", "Teacher", "open_teacher", "student_network"]


class DistillationLoss(keras.losses.Loss):
    """The part of the labels, and the part of another network's answers.

    Targets are [classes | teacher's logits | teacher's features], answers [logits | features]; for
    mutual learning [classes] and [logits | the other's logits].
    """

    def __init__(
        self, recipe: Recipe, classes: int, hard: keras.losses.Loss, *, features: int = 0
    ) -> None:
        super().__init__(name="distillation")
        self.kind = recipe.distillation
        self.weight = recipe.distillation_weight
        self.temperature = recipe.distillation_temperature
        self.classes = classes
        self.hard = hard
        self.features = features

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss (N,) of targets and answers as above."""
        targets, logits = y_true[:, : self.classes], y_pred[:, : self.classes]
        if self.kind == "mutual":
            return self._mutual(targets, logits, y_pred[:, self.classes :])
        taught = y_true[:, self.classes : 2 * self.classes]
        if self.kind == "ssld":
            # Cui et al. 2021, arXiv 2103.05959: the divergences of both directions, no labels.
            losses = (_divergence(taught, logits, 1.0) + _divergence(logits, taught, 1.0)) / 2
        else:
            # Hinton et al. 2015, arXiv 1503.02531: the square keeps the gradient's size.
            soft = _divergence(taught, logits, self.temperature) * self.temperature**2
            losses = self.weight * soft + (1 - self.weight) * self.hard.call(targets, logits)
        if self.features:
            difference = y_pred[:, self.classes :] - y_true[:, 2 * self.classes :]
            losses = losses + self.weight * ops.mean(ops.square(difference), axis=-1)
        return losses

    def _mutual(self, targets: Any, one: Any, other: Any) -> Any:
        """Zhang et al. 2017, arXiv 1706.00384: each follows the other, who stands still."""
        losses = 0.0
        for own, peer in ((one, other), (other, one)):
            followed = _divergence(ops.stop_gradient(peer), own, 1.0)
            losses += (1 - self.weight) * self.hard.call(targets, own) + self.weight * followed
        return losses


def _divergence(target: Any, answer: Any, temperature: float) -> Any:
    """Kullback-Leibler divergence (N,) of softmax(answer / t) from softmax(target / t)."""
    log_target = ops.log_softmax(target / temperature)
    log_answer = ops.log_softmax(answer / temperature)
    return ops.sum(ops.exp(log_target) * (log_target - log_answer), axis=-1)


class Teacher:
    """Answers to uint8 pictures of any size; safe to ask from several threads."""

    def __init__(
        self,
        answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        image_size: tuple[int, int] | None,
        *,
        features: tuple[int, ...] = (),
    ) -> None:
        """`answer` gives (N, classes + features); it takes `image_size`, None for any."""
        self._answer = answer
        self._image_size = image_size
        self.features = features
        """Shape (height, width, channels) of the features that follow the logits."""

    def targets(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Columns (N, classes + features) for the student's targets."""
        return self._answer(_resized(images, self._image_size))


def _resized(images: NDArray[np.uint8], image_size: tuple[int, int] | None) -> NDArray[np.uint8]:
    if image_size is None or images.shape[1:3] == image_size:
        return images
    height, width = image_size
    return np.stack(
        [
            np.asarray(Image.fromarray(each).resize((width, height), Image.Resampling.BILINEAR))
            for each in images
        ]
    )


def open_teacher(
    recipe: Recipe, classes: Sequence[str], preprocessing: Preprocessing
) -> Teacher | None:
    """The recipe's teacher, None when it has none.

    Raises:
        BundleError: the bundle cannot be opened.
        InputError: no such file, or a teacher of other classes.
    """
    if recipe.teacher is None:
        return None
    path = Path(recipe.teacher)
    if not path.exists():
        raise InputError(f"{path}: no such teacher; give a bundle or a .keras file.")
    layer = recipe.distillation_layers.partition(":")[2].strip()
    if path.suffix == ".keras":
        return _keras_teacher(_load_keras(path), layer, len(classes), preprocessing, path)
    bundle = Bundle.open(path)
    order = _column_order(bundle, classes)
    if not layer and "onnx" in bundle.manifest.variants:
        return _exported_teacher(bundle, order, recipe.workers)
    from pplcnet.weights.bundled import restore_model

    model = restore_model(bundle)
    own = bundle.manifest.preprocessing
    return _keras_teacher(model, layer, len(classes), own, path, order=order)


def _column_order(bundle: Bundle, classes: Sequence[str]) -> list[int]:
    if sorted(bundle.classes) != sorted(classes):
        raise InputError(
            f"{bundle.path}: the teacher knows {', '.join(bundle.classes)}; the photos have "
            f"{', '.join(classes)}. Train a teacher on the same classes."
        )
    return [bundle.classes.index(name) for name in classes]


def _exported_teacher(bundle: Bundle, order: list[int], workers: int) -> Teacher:
    from pplcnet.runtime.engines.engine import installed_engines, open_engine, run_padded

    content = bundle.read(str(bundle.variant("onnx")["file"]))
    engine = open_engine(
        "openvino" if "openvino" in installed_engines() else "onnxruntime",
        content,
        precision="float32",
        threads=1,
        streams=workers,
    )
    return Teacher(
        lambda images: run_padded(engine, images)["logits"][:, order],
        bundle.manifest.preprocessing.image_size,
    )


def _load_keras(path: Path) -> keras.Model:
    try:
        read_keras_file(path)  # refuses what takes memory or hangs in the HDF5 library
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly anything for a file that it cannot read
        raise InputError(f"{path}: not a .keras file that can be loaded ({error}).") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(f"{path}: a teacher has one input, images, and one output, logits.")
    return model


def _keras_teacher(
    model: keras.Model,
    layer: str,
    classes: int,
    preprocessing: Preprocessing,
    path: Path,
    *,
    order: list[int] | None = None,
) -> Teacher:
    """A teacher in Keras: normalised images (N, H, W, 3) in, logits or probabilities out."""
    if model.output_shape[-1] != classes:
        raise InputError(
            f"{path}: the teacher has {model.output_shape[-1]} outputs, the photos have {classes} "
            "classes."
        )
    outputs, features = [model.output], ()
    if layer:
        found = _layer(model, layer).output
        features = tuple(found.shape[1:])
        outputs.append(found)
    network = keras.Model(model.input, outputs)
    size = model.input_shape[1:3]
    lock = Lock()

    def answer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with lock:
            found = network.predict_on_batch(preprocessing.normalize(images))
        logits, *rest = found if isinstance(found, list) else [found]
        logits = np.asarray(logits, np.float32)
        if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
            logits = np.log(np.maximum(logits, 1e-7))  # it ends in softmax
        if order is not None:
            logits = logits[:, order]
        parts = [np.asarray(each, np.float32).reshape(len(images), -1) for each in rest]
        return np.concatenate([logits, *parts], axis=1)

    return Teacher(answer, None if None in size else (size[0], size[1]), features=features)


def _layer(model: keras.Model, name: str) -> keras.Layer:
    names = [each.name for each in model.layers]
    if name not in names:
        raise UnknownNameError("layer to distil from", name, names)
    return model.get_layer(name)


def student_network(
    whole: keras.Model, recipe: Recipe, teacher: Teacher | None, peer: keras.Model | None
) -> keras.Model:
    """The network that is trained: `whole`, or one around it with more answers beside its logits.

    Its further answers are the features that a teacher's are compared with, or the logits of
    `peer`, a second student.
    """
    if peer is not None:
        answers = [whole.output, peer(whole.input)]
    elif teacher is not None and teacher.features:
        answers = [whole.output, _projected(whole, recipe, teacher.features)]
    else:
        return whole
    return keras.Model(
        whole.input, keras.layers.Concatenate(dtype="float32", name="answers")(answers)
    )


def _projected(whole: keras.Model, recipe: Recipe, features: tuple[int, ...]) -> Any:
    name = recipe.distillation_layers.partition(":")[0].strip()
    own = _layer(whole, name).output
    if len(features) == 3 and tuple(own.shape[1:3]) == tuple(features[:2]):
        projection = keras.layers.Conv2D(features[2], 1, name="distillation_projection")
        return keras.layers.Flatten(name="distillation_features")(projection(own))
    raise RecipeError(
        f"distillation_layers is {recipe.distillation_layers!r}: the student's features are "
        f"{tuple(own.shape[1:])}, the teacher's {features}; height and width have to be the same "
        "(avg_pool of a network of the catalog always is)."
    )
