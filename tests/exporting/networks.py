"""Networks with statistics as training leaves them, and how far their ONNX files are off."""

from __future__ import annotations

import keras
import numpy as np
import onnx

from pplcnet.bundle.manifest import Manifest
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks import find


def with_lively_statistics(model: keras.Model) -> keras.Model:
    """The model with BatchNorm statistics that are neither 0 nor 1."""
    generator = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.gamma.assign(generator.uniform(0.5, 1.5, size))
            layer.beta.assign(generator.normal(0, 0.1, size))
            layer.moving_mean.assign(generator.normal(0, 0.1, size))
            layer.moving_variance.assign(generator.uniform(0.5, 1.5, size))
    return model


def manifest_of(model: keras.Model, task: str = "classification") -> Manifest:
    """A manifest with the model's input size, and a class for each logit."""
    logits = model.outputs[0]
    classes = tuple(f"c{number}" for number in range(logits.shape[-1]))
    return Manifest(
        classes,
        Preprocessing(image_size=model.input.shape[1:3]),
        network={"name": model.name},
        task=task,
        outputs=find(task).outputs(classes, model.input.shape[1:3], model.name),
    )


def translate(model: keras.Model, batch: int | None = 1) -> onnx.ModelProto:
    """The model as ONNX, for `batch` images."""
    return to_onnx(model, manifest_of(model), batch=batch)


def random_images(model: keras.Model, count: int) -> np.ndarray:
    """Prepared images (count, height, width, 3) of the model's input size."""
    size = model.input.shape[1:3]
    return np.random.default_rng(1).integers(0, 256, (count, *size, 3), np.uint8)
