"""Rules that write the layers of detectors as ONNX operators, one per layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from pplcnet.exporting.onnx_walk import Walk
from pplcnet.models.boxes import (
    BINS,
    DistancesToBoxes,
    JoinCells,
    JointScore,
    PixelsAsFour,
    cell_places,
)

__all__ = ["BOX_RULES"]


def _twice(walk: Walk, layer: PixelsAsFour) -> None:
    # An empty region: the operator's second input is only used in another mode.
    region = walk.graph.constant(f"{layer.name}.roi", np.empty(0, np.float32))
    scales = walk.graph.constant(f"{layer.name}.scales", np.array([1, 1, 2, 2], np.float32))
    walk.names[id(layer.output)] = walk.graph.node(
        "Resize",
        [walk.input_name(layer), region, scales],
        layer.name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _cells(walk: Walk, layer: JoinCells) -> None:
    parts = []
    for at, features in enumerate(layer.input):
        height, width, channels = features.shape[1:]
        name = f"{layer.name}.{at}"
        shape = walk.graph.constant(
            f"{name}.shape", np.array([0, channels, height * width], np.int64)
        )
        parts.append(walk.graph.node("Reshape", [walk.input_name(layer, at), shape], name))
    joined = walk.graph.node("Concat", parts, f"{layer.name}.joined", axis=2)
    walk.names[id(layer.output)] = walk.graph.node(
        "Transpose", [joined], layer.name, perm=[0, 2, 1]
    )


def _score(walk: Walk, layer: JointScore) -> None:
    classes, align = (
        walk.graph.node("Sigmoid", [walk.input_name(layer, at)], f"{layer.name}.{what}")
        for at, what in enumerate(("class", "place"))
    )
    product = walk.graph.node("Mul", [classes, align], f"{layer.name}.product")
    # Without the layer's 1e-9 under the root, which is for training: at most 3.2e-5 less, at 0.
    walk.names[id(layer.output)] = walk.graph.node("Sqrt", [product], f"{layer.name}.root")


def _boxes(walk: Walk, layer: DistancesToBoxes) -> None:
    graph, name = walk.graph, layer.name
    places, strides = map(keras.ops.convert_to_numpy, cell_places(*walk.preprocessing.image_size))
    cells = len(places)
    bins = graph.constant(f"{name}.bins", np.array([0, cells, 4, BINS], np.int64))
    sides = graph.node("Reshape", [walk.input_name(layer), bins], f"{name}.sides")
    chances = graph.node("Softmax", [sides], f"{name}.chances", axis=-1)
    numbers = graph.constant(f"{name}.numbers", np.arange(BINS, dtype=np.float32)[:, np.newaxis])
    means = graph.node("MatMul", [chances, numbers], f"{name}.means")
    four = graph.constant(f"{name}.four", np.array([0, cells, 4], np.int64))
    distances = graph.node("Reshape", [means, four], f"{name}.distances")
    signs = strides * np.array([-1, -1, 1, 1], np.float32)
    scales = graph.constant(f"{name}.strides", signs[np.newaxis].astype(np.float32))
    centres = graph.constant(f"{name}.centres", np.tile(places, 2)[np.newaxis].astype(np.float32))
    offsets = graph.node("Mul", [distances, scales], f"{name}.offsets")
    walk.names[id(layer.output)] = graph.node("Add", [offsets, centres], f"{name}.corners")


BOX_RULES: Mapping[type, Callable[[Walk, Any], None]] = {
    DistancesToBoxes: _boxes,
    JoinCells: _cells,
    JointScore: _score,
    PixelsAsFour: _twice,
}
