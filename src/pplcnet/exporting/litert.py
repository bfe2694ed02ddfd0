"""Adds the `litert` variant: the same network as a `.tflite` file, for LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import keras
import numpy as np

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.errors import ConversionError, InputError, require
from pplcnet.exporting.embedding import with_embedding
from pplcnet.exporting.export import measure_latency
from pplcnet.exporting.images import choose_images
from pplcnet.exporting.parity import in_full_precision, keras_outputs, measure_parity
from pplcnet.exporting.timing import prepare, run_all
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.layers import tracing_for_another_runtime
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.tasks import task_of
from pplcnet.weights.bundled import restore_model

__all__ = ["LITERT_FILE", "export_litert", "to_tflite"]

LITERT_FILE = "model.tflite"


def export_litert(
    bundle: str | PathLike[str] | Bundle, images: Sequence[str | PathLike[str]] | None = None
) -> Bundle:
    """Add the `litert` variant to a bundle, after comparing it with Keras on real images.

    Args:
        bundle: a bundle folder with the Keras variant; it is replaced as a whole at the end.
        images: as for `export`.

    Raises:
        ConversionError: it cannot be converted, or differs by more than allowed.
        InputError: no images, or a Keras backend other than TensorFlow.
        MissingDependencyError: the litert extra is not installed.
    """
    require("ai_edge_litert", purpose="export to LiteRT", extra="litert")
    with Bundle.open_to_change(bundle) as opened:
        return _exported(opened, images)


def _exported(bundle: Bundle, images: Sequence[str | PathLike[str]] | None) -> Bundle:
    task = task_of(bundle.manifest, bundle.path)
    preprocessing = bundle.manifest.preprocessing
    pixels = prepare(preprocessing, choose_images(bundle, images))
    with in_full_precision():
        model = restore_model(bundle)
        deployed = with_embedding(to_deploy_form(model), bundle.manifest, task)
        content = to_tflite(deployed, preprocessing)
        whole = with_embedding(model, bundle.manifest, task)
        expected = keras_outputs(whole, bundle.manifest, pixels)
    engine = open_engine("litert", content, sizes=Sizes.of(bundle.manifest))
    judge = task.judge(bundle.manifest, ())
    variant = {
        "file": LITERT_FILE,
        "batch": 1,
        "precision": "float32",
        "parity": measure_parity(expected, run_all(engine, pixels), judge, task.tolerance),
        "latency": measure_latency(engine, pixels[:1], "litert"),
    }
    return update_bundle(bundle, files={LITERT_FILE: content}, variants={"litert": variant})


def to_tflite(model: keras.Model, preprocessing: Preprocessing) -> bytes:
    """A model of the catalog as a `.tflite` file that takes one uint8 RGB image."""
    if keras.backend.backend() != "tensorflow":
        raise InputError("export to LiteRT needs Keras on TensorFlow (KERAS_BACKEND=tensorflow).")
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    height, width = preprocessing.image_size
    std = np.asarray(preprocessing.std, np.float32)
    scale, shift = 1 / (255 * std), np.asarray(preprocessing.mean, np.float32) / std

    @tf.function(input_signature=[tf.TensorSpec((1, height, width, 3), tf.uint8, name="images")])
    def whole(images: Any) -> Any:
        return model(tf.cast(images, tf.float32) * scale - shift, training=False)

    # The converter would lose Keras 3's variables, so make them constants first.
    with tracing_for_another_runtime():
        frozen = convert_variables_to_constants_v2(whole.get_concrete_function())
    try:
        content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    except Exception as error:  # the converter raises undocumented errors of its own
        raise ConversionError(f"{model.name} cannot be converted for LiteRT: {error}") from error
    return content
