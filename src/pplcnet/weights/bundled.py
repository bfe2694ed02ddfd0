"""The trained Keras model inside a bundle: rebuilt by its task, with weights from `weights.npz`.

The network is rebuilt by this project's own code from a catalog name and options; nothing from the
bundle is executed.
"""

from __future__ import annotations

import io
from typing import Any

import keras
import numpy as np

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import BundleError, InputError, WeightsError
from pplcnet.tasks import task_of, training_of
from pplcnet.weights import native

__all__ = ["KERAS_FILE", "pack_weights", "restore_model"]

KERAS_FILE = "weights.npz"


def pack_weights(model: keras.Model) -> bytes:
    """The content of `weights.npz` for a model that a task built."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **native.get_values(model))
    return buffer.getvalue()


def restore_model(bundle: Bundle, image_size: tuple[int, int] | None = None) -> keras.Model:
    """The Keras model of a bundle, from normalised float images to the outputs of its task.

    Args:
        image_size: (height, width) of the input; None for the bundle's.

    Raises:
        BundleError: no Keras variant, a damaged one, or one for a network unknown to this version.
    """
    content = bundle.read(str(bundle.variant("keras")["file"]))
    network: dict[str, Any] = bundle.manifest.network
    build = training_of(task_of(bundle.manifest, bundle.path)).build
    try:
        model = build(
            network["name"],
            bundle.classes,
            image_size or bundle.manifest.preprocessing.image_size,
            network["options"],
        )
        native.set_values(model, native.read_npz(content, KERAS_FILE), source=str(bundle.path))
    except (KeyError, TypeError, InputError, WeightsError) as error:
        raise BundleError(f"{bundle.path}: its network cannot be rebuilt: {error}") from error
    return model
