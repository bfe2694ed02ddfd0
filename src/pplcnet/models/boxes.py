"""Layers that turn the outputs of a detector's convolutions into boxes and scores.

A detector predicts for cells. Every position of its feature maps is a cell; they are ordered level
by level, the finest first, and row by row inside a level.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pplcnet.models.catalog import DETECTOR_STRIDES

__all__ = [
    "BINS",
    "DistancesToBoxes",
    "JoinCells",
    "JointScore",
    "PixelsAsFour",
    "cell_places",
    "joint_score",
]

BINS = 8
"""Bins of the distribution of a distance: 0 to 7 strides."""
# Added under the root, so that the derivative is finite at a score of 0.
EPSILON = 1e-9


@keras.saving.register_keras_serializable("pplcnet")
class PixelsAsFour(keras.layers.Layer):
    """(N, H, W, C) to (N, 2 H, 2 W, C): every pixel becomes 2x2.

    Equals `keras.layers.UpSampling2D(2)`, but made of concatenations, which LiteRT may run here: an
    operator with a repeat count in the file could take any amount of memory.
    """

    def call(self, inputs):
        """(N, 2 H, 2 W, C)."""
        batch, height, width, _ = ops.shape(inputs)
        channels = inputs.shape[-1]
        wide = ops.concatenate([inputs, inputs], -1)
        rows = ops.reshape(wide, (batch, height, 2 * width * channels))
        rows = ops.concatenate([rows, rows], -1)
        return ops.reshape(rows, (batch, 2 * height, 2 * width, channels))

    def compute_output_shape(self, input_shape):
        """The output's shape; unknown sizes stay None."""
        batch, height, width, channels = input_shape
        return (batch, *(each and 2 * each for each in (height, width)), channels)


@keras.saving.register_keras_serializable("pplcnet")
class JoinCells(keras.layers.Layer):
    """The feature maps of all levels, (N, h, w, C) each, as cells: (N, cells, C)."""

    def call(self, inputs):
        """(N, sum of h * w, C)."""
        channels = inputs[0].shape[-1]
        return ops.concatenate(
            [ops.reshape(each, self._flat(each, channels)) for each in inputs], 1
        )

    @staticmethod
    def _flat(features, channels: int) -> tuple[int, int, int]:
        height, width = features.shape[1:3]
        is_fixed = height is not None and width is not None
        return (
            (-1, height * width, channels) if is_fixed else (ops.shape(features)[0], -1, channels)
        )

    def compute_output_shape(self, input_shape):
        """(N, cells, C); the number of cells is None if any size is."""
        cells = 0
        for _, height, width, _ in input_shape:
            if height is None or width is None:
                return (input_shape[0][0], None, input_shape[0][3])
            cells += height * width
        return (input_shape[0][0], cells, input_shape[0][3])


@keras.saving.register_keras_serializable("pplcnet")
class JointScore(keras.layers.Layer):
    """The geometric mean of the class probability and the alignment probability.

    Class logits (N, cells, C) and align logits (N, cells, 1) to scores (N, cells, C), 0 to 1.
    """

    def call(self, inputs):
        """(N, cells, C)."""
        return joint_score(*inputs)

    def compute_output_shape(self, input_shape):
        """The shape of the class logits."""
        return input_shape[0]


@keras.saving.register_keras_serializable("pplcnet")
class DistancesToBoxes(keras.layers.Layer):
    """Turns distance logits, from a cell's centre to the four sides of its box, into boxes.

    Distance logits (N, cells, 32), eight bins each for left, top, right and bottom, and the images
    (N, H, W, 3), whose size determines where the cells are, to (N, cells, 4): x1, y1, x2, y2 in
    pixels of the images, not clipped.
    """

    def call(self, inputs):
        """(N, cells, 4)."""
        logits, images = inputs
        height, width = ops.shape(images)[1:3]
        places, strides = cell_places(height, width)
        batch = ops.shape(logits)[0]
        bins = ops.softmax(ops.reshape(logits, (batch, -1, 4, BINS)), axis=-1)
        distances = ops.sum(bins * ops.arange(BINS, dtype=bins.dtype), axis=-1) * strides
        return ops.concatenate([places - distances[..., :2], places + distances[..., 2:]], -1)

    def compute_output_shape(self, input_shape):
        """(N, cells, 4)."""
        return (*input_shape[0][:2], 4)


def joint_score(classes: Any, align: Any) -> Any:
    """Scores (N, cells, C) from class logits (N, cells, C) and align logits (N, cells, 1)."""
    return ops.sqrt(ops.sigmoid(classes) * ops.sigmoid(align) + EPSILON)


def cell_places(height: Any, width: Any):
    """The centres of all cells, (cells, 2) as x, y in pixels, and their strides, (cells, 1).

    Args:
        height, width: of the input, in pixels; integers, or scalar integer tensors.
    """
    places, strides = [], []
    for stride in DETECTOR_STRIDES:
        rows, columns = -(-height // stride), -(-width // stride)
        y = (ops.arange(rows, dtype="float32") + 0.5) * stride
        x = (ops.arange(columns, dtype="float32") + 0.5) * stride
        grid_y, grid_x = ops.meshgrid(y, x, indexing="ij")
        places.append(ops.reshape(ops.stack([grid_x, grid_y], -1), (-1, 2)))
        strides.append(ops.full((rows * columns, 1), stride, "float32"))
    return ops.concatenate(places, 0), ops.concatenate(strides, 0)
