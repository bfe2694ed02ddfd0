"""Grad-CAM: the areas of an image that are evidence for a class (Selvaraju et al. 2017, arXiv
1610.02391).

The gradient of the class's logit with respect to the last feature map before pooling, averaged over
the positions, gives the weights of the map's channels; the positive part of their weighted sum is
the heat map. Works on every Keras backend.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import features_of

__all__ = ["GradCam"]


class GradCam:
    """A network split at its last feature map before pooling."""

    def __init__(self, model: keras.Model, preprocessing: Preprocessing) -> None:
        """Split `model` (normalised float images to logits) at its last feature map.

        Raises:
            InputError: the network has no global average pooling, has several outputs, or predicts
                per position of the image.
        """
        if len(model.outputs) > 1:
            count = len(model.outputs)
            raise InputError(f"the network has {count} outputs, and Grad-CAM needs one.")
        if len(model.output.shape) != 2:
            raise InputError(
                "the network answers for each place of the image, and Grad-CAM explains one answer "
                "for all of it."
            )
        features = features_of(model).map
        self._backbone = keras.Model(model.input, features)
        self._head = keras.Model(features, model.output)
        self._mean = np.asarray(preprocessing.mean, np.float32)
        self._std = np.asarray(preprocessing.std, np.float32)

    def maps(self, images: NDArray[np.uint8], classes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Heat maps of the evidence for one class per image, scaled to at most 1.

        Args:
            images: (N, height, width, 3) RGB, prepared as for prediction.
            classes: (N,) the class to explain, one per image.

        Returns:
            (N, h, w) in 0 to 1, h and w being the feature map's; all 0 without evidence for the
            class.
        """
        heat = self.raw_maps(images, classes)
        most = heat.max(axis=(1, 2), keepdims=True)
        return np.asarray(heat / np.where(most > 0, most, 1), np.float32)

    def raw_maps(
        self, images: NDArray[np.uint8], classes: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Like `maps`, but not scaled."""
        normalised = (images.astype(np.float32) / 255 - self._mean) / self._std
        features = keras.ops.convert_to_numpy(self._backbone(normalised, training=False))
        gradient = _gradient(self._head, features, np.asarray(classes))
        weights = gradient.mean(axis=(1, 2), keepdims=True)
        heat: NDArray[np.float32] = np.maximum((weights * features).sum(axis=-1), 0)
        return heat


def _gradient(
    head: Any, features: NDArray[np.float32], classes: NDArray[np.integer]
) -> NDArray[np.float32]:
    """(N, h, w, C): gradient of each image's logit for its class with respect to its features.

    Images are independent in inference, so the gradient of the sum contains that of each image.
    """
    chosen = keras.ops.one_hot(classes, head.output_shape[-1])

    def total(values: Any) -> Any:
        return keras.ops.sum(head(values, training=False) * chosen)

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        watched = tensorflow.constant(features)
        with tensorflow.GradientTape() as tape:
            tape.watch(watched)
            logit = total(watched)
        return np.asarray(tape.gradient(logit, watched))
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(total)(keras.ops.convert_to_tensor(features)))
    if backend == "torch":
        import torch

        with torch.enable_grad():
            leaf = keras.ops.convert_to_tensor(features).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(total(leaf), leaf)
        return np.asarray(gradient.detach().cpu().numpy())
    raise InputError(f"Grad-CAM needs TensorFlow, JAX or PyTorch; Keras runs on {backend}.")
