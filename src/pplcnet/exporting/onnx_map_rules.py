"""Rules that write the layers of segmentation networks as ONNX operators, one per layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from pplcnet.exporting.onnx_walk import Walk
from pplcnet.models.resizing import AdaptiveAveragePool, ResizeLike, bins_of

__all__ = ["MAP_RULES"]


def _resize(walk: Walk, layer: ResizeLike) -> None:
    features, partner = layer.input
    source = walk.input_name(layer)
    size = tuple(partner.shape[1:3])
    if tuple(features.shape[1:3]) == size:
        walk.names[id(layer.output)] = source
        return
    scales = [1, 1, *map(_scale, features.shape[1:3], size)]
    # An empty region: the operator's second input is only used in another mode.
    region = walk.graph.constant(f"{layer.name}.roi", np.empty(0, np.float32))
    factors = walk.graph.constant(f"{layer.name}.scales", np.array(scales, np.float32))
    walk.names[id(layer.output)] = walk.graph.node(
        "Resize",
        [source, region, factors],
        layer.name,
        mode="linear",
        coordinate_transformation_mode="align_corners" if layer.align_corners else "half_pixel",
    )


def _scale(length: int, wanted: int) -> np.float32:
    """The scale factor, rounded up if `length` times it would end a pixel short of `wanted`."""
    scale = np.float32(wanted / length)
    return scale if length * float(scale) >= wanted else np.nextafter(scale, np.float32(np.inf))


def _pool(walk: Walk, layer: AdaptiveAveragePool) -> None:
    graph, source, bins = walk.graph, walk.input_name(layer), layer.bins
    if bins == 1:
        walk.names[id(layer.output)] = graph.node("GlobalAveragePool", [source], layer.name)
        return
    height, width, channels = layer.input.shape[1:]
    rows, columns = (
        keras.ops.convert_to_numpy(bins_of(each, bins)).astype(np.float64)
        for each in (height, width)
    )
    # Each position's weight in each bin: (positions, bins * bins).
    weights = np.einsum("yh,xw->hwyx", rows, columns).reshape(height * width, bins * bins)
    flat = graph.constant(f"{layer.name}.flat", np.array([0, channels, height * width], np.int64))
    parts = graph.constant(f"{layer.name}.parts", weights.astype(np.float32))
    shape = graph.constant(f"{layer.name}.shape", np.array([0, channels, bins, bins], np.int64))
    name = graph.node("Reshape", [source, flat], f"{layer.name}.positions")
    name = graph.node("MatMul", [name, parts], f"{layer.name}.means")
    walk.names[id(layer.output)] = graph.node("Reshape", [name, shape], layer.name)


MAP_RULES: Mapping[type, Callable[[Walk, Any], None]] = {
    AdaptiveAveragePool: _pool,
    ResizeLike: _resize,
}
