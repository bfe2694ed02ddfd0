"""Resizing and pooling of feature maps for segmentation networks, alike on every backend.

Both are linear along each side, so where Keras lacks the operation, it is two matrix products.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["AdaptiveAveragePool", "ResizeLike", "bins_of", "resize", "resize_sampled"]


def resize(features: Any, size: tuple[Any, Any], *, align_corners: bool = False) -> Any:
    """Resize feature maps (N, h, w, C) bilinearly to (N, H, W, C), without antialiasing.

    Args:
        size: (H, W), integers or scalar integer tensors.
        align_corners: whether the first and last pixels of both coincide, as in PyTorch. Otherwise
            pixel i is sampled at `(i + 0.5) * in / out - 0.5`, clipped to the map.
    """
    if align_corners:
        height, width = ops.shape(features)[1:3]
        return _by_matrices(features, _aligned(height, size[0]), _aligned(width, size[1]))
    if not all(isinstance(side, int) for side in size):  # Keras' function does not take tensors
        return _by_sampling(features, size, 1)
    return ops.image.resize(
        features, size, interpolation="bilinear", antialias=False, data_format="channels_last"
    )


def resize_sampled(features: Any, size: tuple[Any, Any], step: int) -> Any:
    """Every step-th row and column of the result of `resize`, (N, H', W', C), computed alone.

    The first row and column have index `step // 2`.

    Args:
        size: (H, W) of the full result, as for `resize`; more than `step // 2`.
    """
    return resize(features, size) if step == 1 else _by_sampling(features, size, step)


def _by_sampling(features: Any, size: tuple[Any, Any], step: int) -> Any:
    height, width = ops.shape(features)[1:3]
    rows, columns = _sampled(height, size[0], step), _sampled(width, size[1], step)
    return _by_matrices(features, rows, columns)


def _by_matrices(features: Any, rows: Any, columns: Any) -> Any:
    """(N, h, w, C) by rows (H, h) and columns (W, w) to (N, H, W, C)."""
    rows, columns = ops.cast(rows, features.dtype), ops.cast(columns, features.dtype)
    return ops.einsum("yh,nhwc,xw->nyxc", rows, features, columns)


def _sampled(length: Any, wanted: Any, step: int) -> Any:
    """The weights (wanted', length) of every step-th pixel along one side."""
    at = ops.arange(step // 2, wanted, step, dtype="float32") + 0.5
    ratio = ops.cast(length, "float32") / ops.cast(wanted, "float32")
    places = ops.clip(at * ratio - 0.5, 0.0, ops.cast(length, "float32") - 1.0)
    return _tents(places, length)


def _aligned(length: Any, wanted: Any) -> Any:
    """The weights (wanted, length) of pixels along one side, with aligned corners."""
    most = ops.cast(wanted - 1, "float32")
    scale = ops.cast(length - 1, "float32") / ops.maximum(most, 1.0)
    return _tents(ops.arange(wanted, dtype="float32") * scale, length)


def _tents(places: Any, length: Any) -> Any:
    """The interpolation weights (places, length) of the pixels at given places between them."""
    distances = ops.abs(places[:, None] - ops.arange(length, dtype="float32")[None])
    return ops.maximum(1.0 - distances, 0.0)


def bins_of(length: Any, bins: int) -> Any:
    """The weights (bins, length) of the pixels in each bin's mean along one side."""
    each = ops.arange(bins, dtype="int32")
    start = each * length // bins
    end = -(-((each + 1) * length) // bins)
    at = ops.arange(length, dtype="int32")[None]
    inside = ops.cast((at >= start[:, None]) & (at < end[:, None]), "float32")
    return inside / ops.cast(end - start, "float32")[:, None]


@keras.saving.register_keras_serializable("pplcnet")
class ResizeLike(keras.layers.Layer):
    """Resizes a feature map (N, h, w, C) bilinearly to the size of another, (N, H, W, D)."""

    def __init__(self, align_corners: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.align_corners = align_corners

    def call(self, inputs):
        """(N, H, W, C)."""
        features, partner = inputs
        known = features.shape[1:3], partner.shape[1:3]
        if None not in known[0] and known[0] == known[1]:
            return features
        size = tuple(ops.shape(partner)[1:3])
        return resize(features, size, align_corners=self.align_corners)

    def compute_output_shape(self, input_shape):
        """The second map's size with the first one's channels."""
        features, partner = input_shape
        return (features[0], *partner[1:3], features[3])

    def get_config(self):
        """What the constructor takes."""
        return super().get_config() | {"align_corners": self.align_corners}


@keras.saving.register_keras_serializable("pplcnet")
class AdaptiveAveragePool(keras.layers.Layer):
    """(N, h, w, C) to the means over bins x bins regions, (N, bins, bins, C).

    Bin i takes the rows from `floor(i * h / bins)` up to `ceil((i + 1) * h / bins)`: neighbours
    overlap where `bins` does not divide h, and a map may be smaller than `bins`.
    """

    def __init__(self, bins: int, **options: Any) -> None:
        super().__init__(**options)
        self.bins = bins

    def call(self, inputs):
        """(N, bins, bins, C)."""
        height, width = ops.shape(inputs)[1:3]
        return _by_matrices(inputs, bins_of(height, self.bins), bins_of(width, self.bins))

    def compute_output_shape(self, input_shape):
        """(N, bins, bins, C)."""
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self):
        """What the constructor takes."""
        return super().get_config() | {"bins": self.bins}
