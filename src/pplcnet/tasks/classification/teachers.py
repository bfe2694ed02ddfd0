"""Opens the network that another one learns from: a bundle or a `.keras` file.

A teacher sees the same images as the student, with the same crops and mixing (Beyer et al. 2021,
arXiv 2106.05237). An exported bundle answers in the fast runtime: in TensorFlow, its forward pass
would cost several times the student's step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import InputError, UnknownNameError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.processor import available_cores
from pplcnet.tasks.classification.options import ClassificationOptions

__all__ = ["Teacher", "layer_of", "open_teacher"]


class Teacher:
    """Answers for images of any size; safe to call from several threads."""

    def __init__(
        self,
        answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        image_size: tuple[int, int] | None,
        *,
        features: tuple[int, ...] = (),
    ) -> None:
        """Wrap a network's `answer` function.

        Args:
            answer: takes uint8 images (N, H, W, 3), returns (N, classes + features).
            image_size: the (height, width) that `answer` takes; None for any.
            features: shape (height, width, channels) of the features that follow the logits.
        """
        self._answer = answer
        self._image_size = image_size
        self.features = features

    def answers(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits and features (N, classes + features) for images (N, H, W, 3)."""
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
    """The recipe's teacher; None if it has none.

    Raises:
        BundleError: the bundle cannot be opened.
        InputError: no such file, or a teacher of other classes.
    """
    options = recipe.options_as(ClassificationOptions)
    if options.teacher is None:
        return None
    path = Path(options.teacher)
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; the teacher must be a bundle or a .keras file."
        )
    layer = options.distillation_layers.partition(":")[2].strip()
    if path.suffix == ".keras":
        return _keras_teacher(_load_keras(path), layer, len(classes), preprocessing, path)
    bundle = Bundle.open(path)
    order = _column_order(bundle, classes)
    if not layer and "onnx" in bundle.manifest.variants:
        return _exported_teacher(bundle, order, recipe.workers or available_cores())
    from pplcnet.weights.bundled import restore_model  # weights is a layer above tasks

    model = restore_model(bundle)
    own = bundle.manifest.preprocessing
    return _keras_teacher(model, layer, len(classes), own, path, order=order)


def _column_order(bundle: Bundle, classes: Sequence[str]) -> list[int]:
    """The index of each class among the teacher's outputs; InputError if its classes differ."""
    if bundle.manifest.task != "classification":
        raise InputError(
            f"{bundle.path}: is a bundle of the task {bundle.manifest.task!r}; the teacher must be "
            "a single-label classifier."
        )
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
    from pplcnet.weights.keras_files import read_keras_file  # weights is a layer above tasks

    try:
        read_keras_file(path)  # refuses files that exhaust memory or hang in the HDF5 library
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras can raise nearly anything for an unreadable file
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
        found = layer_of(model, layer).output
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
            logits = np.log(np.maximum(logits, 1e-7))  # the network ends in softmax
        if order is not None:
            logits = logits[:, order]
        parts = [np.asarray(each, np.float32).reshape(len(images), -1) for each in rest]
        return np.concatenate([logits, *parts], axis=1)

    return Teacher(answer, None if None in size else (size[0], size[1]), features=features)


def layer_of(model: keras.Model, name: str) -> keras.Layer:
    """The layer of this name; UnknownNameError lists the layers."""
    names = [each.name for each in model.layers]
    if name not in names:
        raise UnknownNameError("layer to distil from", name, names)
    return model.get_layer(name)
