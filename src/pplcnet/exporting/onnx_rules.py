"""Rules that write each layer of the catalog's networks as ONNX operators, one function per layer.

There is no HardSigmoid operator in the output: OpenCV 5.0 fuses one that is followed by a Mul into
a HardSwish of the wrong tensor, and OpenVINO 2026.4 ignores an offset of 0. Slope and offset are
folded into the preceding convolution, leaving `Clip(0, 1)`, which every engine reads the same way.

This file is longer than others because it is a list: one function per layer, and their table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from pplcnet.errors import ConversionError
from pplcnet.exporting.folding import fold_batch_norm, gate_after, is_linear, values_of
from pplcnet.exporting.onnx_box_rules import BOX_RULES
from pplcnet.exporting.onnx_map_rules import MAP_RULES
from pplcnet.exporting.onnx_walk import Walk, inputs_of
from pplcnet.models.layers import (
    BatchNormalization,
    ChannelShuffle,
    ChannelSplit,
    DepthwiseConv2D,
    HardSigmoid,
    HardSwish,
)

__all__ = ["RULES", "rule_of"]

Array = NDArray[np.float32]


def rule_of(layer: keras.layers.Layer) -> Callable[[Walk, Any], None]:
    """The function that writes this layer; ConversionError if there is none."""
    rule = RULES.get(type(layer))
    if rule is None:
        known = ", ".join(sorted({kind.__name__ for kind in RULES} - {"InputLayer"}))
        raise ConversionError(
            f"the layer {layer.name!r} is a {type(layer).__name__}, which the exporter does not "
            f"know; it knows {known}."
        )
    return rule


def _input(walk: Walk, layer: keras.layers.InputLayer) -> None:
    height, width = walk.preprocessing.image_size
    graph = walk.graph
    # The mean is subtracted from whole rows while the channels are still last. OpenVINO then treats
    # the transposition as a no-op, where it otherwise moves the pixels twice.
    rows = graph.constant("rows", np.array([0, height, 3 * width], np.int64))
    pixels = graph.constant("pixels", np.array([0, height, width, 3], np.int64))
    mean = 255.0 * np.tile(np.asarray(walk.preprocessing.mean, np.float32), width)
    name = graph.node("Cast", ["images"], "images_float", to=onnx.TensorProto.FLOAT)
    name = graph.node("Reshape", [name, rows], "images_rows")
    name = graph.node("Sub", [name, graph.constant("mean", mean)], "images_centred_rows")
    name = graph.node("Reshape", [name, pixels], "images_pixels")
    centred = graph.node("Transpose", [name], "images_centred", perm=[0, 3, 1, 2])
    # The division by 255 std is folded into the stem's kernel, which is exact. The mean is not: the
    # padding around the image is zero after its subtraction.
    walk.names[id(layer.output)] = centred
    walk.scales[id(layer.output)] = (
        1.0 / (255.0 * np.asarray(walk.preprocessing.std, np.float64))
    ).astype(np.float32)


def _padding(walk: Walk, layer: keras.layers.ZeroPadding2D) -> None:
    (top, bottom), (left, right) = layer.padding
    source, padded = layer.input, layer.output
    walk.names[id(padded)] = walk.names[id(source)]
    walk.pads[id(padded)] = (top, left, bottom, right)
    if id(source) in walk.scales:
        walk.scales[id(padded)] = walk.scales[id(source)]


def _convolution(walk: Walk, layer: keras.layers.Conv2D) -> None:
    kernel = values_of(layer.kernel).transpose(3, 2, 0, 1)  # H,W,I,O -> O,I,H,W
    scale = walk.scales.get(id(layer.input))
    if scale is not None:
        kernel = kernel * np.reshape(scale, (1, -1, 1, 1))
    _emit_convolution(walk, layer, kernel, groups=layer.groups)


def _depthwise(walk: Walk, layer: keras.layers.DepthwiseConv2D) -> None:
    kernel = values_of(layer.kernel)
    if kernel.shape[3] != 1:
        raise ConversionError(f"the layer {layer.name!r} has a depth multiplier above 1.")
    if id(layer.input) in walk.scales:
        raise ConversionError(f"the layer {layer.name!r} cannot follow scaling.")
    _emit_convolution(walk, layer, kernel.transpose(2, 3, 0, 1), groups=kernel.shape[2])


def _emit_convolution(walk: Walk, layer: keras.layers.Layer, kernel: Array, groups: int) -> None:
    if layer.data_format != "channels_last":
        raise ConversionError(f"the layer {layer.name!r} has its channels first.")
    pads, dilations = _convolution_pads(walk, layer), tuple(layer.dilation_rate)
    bias = values_of(layer.bias) if layer.use_bias else np.zeros(len(kernel), np.float32)
    result = layer.output
    norm = walk.only_consumer(result) if is_linear(layer) else None
    if isinstance(norm, keras.layers.BatchNormalization):
        kernel, bias = fold_batch_norm(kernel, bias, norm)
        result = norm.output
    gate = gate_after(layer, result, walk.only_consumer(result))
    if gate is not None:
        kernel, bias = kernel * np.float32(gate.slope), bias * np.float32(gate.slope)
        bias = bias + np.float32(gate.offset)
    inputs = [walk.names[id(layer.input)], walk.graph.constant(f"{layer.name}.weight", kernel)]
    if bias.any():
        inputs.append(walk.graph.constant(f"{layer.name}.bias", bias))
    walk.names[id(result)] = walk.graph.node(
        "Conv",
        inputs,
        layer.name,
        kernel_shape=list(kernel.shape[2:]),
        strides=list(layer.strides),
        pads=list(pads),
        group=groups,
        **({"dilations": list(dilations)} if max(dilations) > 1 else {}),
    )
    if gate is None:
        _activate(walk, layer, result)
    else:
        walk.names[id(gate.output)] = _clip(walk, layer.name, gate.name, 0.0, 1.0)


def _activate(walk: Walk, layer: keras.layers.Layer, result: keras.KerasTensor) -> None:
    """An activation that is part of the layer itself."""
    kind = keras.activations.serialize(layer.activation)
    if kind != "linear":
        walk.names[id(result)] = _activation_node(
            walk, kind, walk.names[id(result)], f"{layer.name}.activation", layer
        )


def _convolution_pads(walk: Walk, layer: keras.layers.Layer) -> tuple[int, int, int, int]:
    explicit = walk.pads.get(id(layer.input))
    if layer.padding == "valid":
        return explicit or (0, 0, 0, 0)
    if explicit is not None:
        raise ConversionError(f"the layer {layer.name!r} pads twice.")
    pads = []
    for kernel, dilation, stride, size in zip(
        layer.kernel_size, layer.dilation_rate, layer.strides, layer.input.shape[1:3], strict=True
    ):
        # "same" as Keras defines it: the smaller half comes first.
        covered = (kernel - 1) * dilation + 1
        total = max((math.ceil(size / stride) - 1) * stride + covered - size, 0)
        pads.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = pads
    return top, left, bottom, right


def _batch_norm(walk: Walk, layer: keras.layers.BatchNormalization) -> None:
    raise ConversionError(
        f"the layer {layer.name!r} does not directly follow a convolution that only it uses."
    )


def _activation(walk: Walk, layer: keras.layers.Activation) -> None:
    kind = keras.activations.serialize(layer.activation)
    walk.names[id(layer.output)] = _activation_node(
        walk, kind, walk.input_name(layer), layer.name, layer
    )


def _hard_swish(walk: Walk, layer: HardSwish) -> None:
    walk.names[id(layer.output)] = walk.graph.node(
        "HardSwish", [walk.input_name(layer)], layer.name
    )


def _activation_node(
    walk: Walk, kind: str, source: str, name: str, layer: keras.layers.Layer
) -> str:
    if kind == "hard_silu":
        return walk.graph.node("HardSwish", [source], name)
    if kind == "hard_sigmoid":
        return _clipped_line(walk, source, name, 1 / 6, 0.5)
    if kind == "relu":
        return walk.graph.node("Relu", [source], name)
    if kind == "relu6":
        return _clip(walk, source, name, 0.0, 6.0)
    if kind == "sigmoid":
        return walk.graph.node("Sigmoid", [source], name)
    raise ConversionError(
        f"the layer {layer.name!r} uses the activation {kind!r}; the exporter knows "
        "hard_silu, hard_sigmoid, relu, relu6 and sigmoid."
    )


def _clip(walk: Walk, source: str, name: str, low: float, high: float) -> str:
    limits = [
        walk.graph.constant(f"{name}.{limit}", np.array(limit, np.float32)) for limit in (low, high)
    ]
    return walk.graph.node("Clip", [source, *limits], name)


def _hard_sigmoid(walk: Walk, layer: HardSigmoid) -> None:
    walk.names[id(layer.output)] = _clipped_line(
        walk, walk.input_name(layer), layer.name, layer.slope, layer.offset
    )


def _clipped_line(walk: Walk, source: str, name: str, slope: float, offset: float) -> str:
    """`clip(slope * x + offset, 0, 1)`, if no convolution can absorb slope and offset."""
    for operator, number, neutral in (("Mul", slope, 1.0), ("Add", offset, 0.0)):
        if number != neutral:
            what = f"{name}.{operator.lower()}"
            constant = walk.graph.constant(f"{what}.by", np.array(number, np.float32))
            source = walk.graph.node(operator, [source, constant], what)
    return _clip(walk, source, name, 0.0, 1.0)


def _max_pool(walk: Walk, layer: keras.layers.MaxPooling2D) -> None:
    # ONNX pads with the lowest value, Keras' padding layer with zeros. The maximum is the same if
    # the input is never negative, as in all networks of the catalog.
    pads = walk.pads.get(id(layer.input), (0, 0, 0, 0))
    if layer.padding != "valid" or (any(pads) and not _is_never_negative(walk, layer.input)):
        raise ConversionError(f"the layer {layer.name!r} pads in a way that ONNX does not.")
    walk.names[id(layer.output)] = walk.graph.node(
        "MaxPool",
        [walk.names[id(layer.input)]],
        layer.name,
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
        pads=list(pads),
    )


def _is_never_negative(walk: Walk, padded: keras.KerasTensor) -> bool:
    padding = next(each for each in walk.model.layers if each.output is padded)
    source = next(each for each in walk.model.layers if each.output is padding.input)
    return isinstance(source, keras.layers.Activation) and (
        keras.activations.serialize(source.activation) in ("relu", "relu6")
    )


def _add(walk: Walk, layer: keras.layers.Add) -> None:
    _join(walk, "Add", layer)


def _concatenate(walk: Walk, layer: keras.layers.Concatenate) -> None:
    if layer.axis not in (-1, 3):
        raise ConversionError(f"the layer {layer.name!r} does not concatenate channels.")
    names = [walk.input_name(layer, at) for at in range(len(inputs_of(layer)))]
    walk.names[id(layer.output)] = walk.graph.node("Concat", names, layer.name, axis=1)


def _channel_split(walk: Walk, layer: ChannelSplit) -> None:
    first, second = layer.output
    names = walk.graph.split(walk.input_name(layer), layer.name, axis=1)
    walk.names[id(first)], walk.names[id(second)] = names


def _channel_shuffle(walk: Walk, layer: ChannelShuffle) -> None:
    height, width, channels = layer.output.shape[1:]
    name = walk.input_name(layer)
    halves = walk.graph.constant(
        f"{layer.name}.halves", np.array([0, 2, channels // 2, height, width], np.int64)
    )
    name = walk.graph.node("Reshape", [name, halves], f"{layer.name}.apart")
    name = walk.graph.node("Transpose", [name], f"{layer.name}.turned", perm=[0, 2, 1, 3, 4])
    sizes = walk.graph.constant(
        f"{layer.name}.joined", np.array([0, channels, height, width], np.int64)
    )
    walk.names[id(layer.output)] = walk.graph.node("Reshape", [name, sizes], layer.name)


def _average(walk: Walk, layer: keras.layers.GlobalAveragePooling2D) -> None:
    if not layer.keepdims:
        raise ConversionError(f"the layer {layer.name!r} must have keepdims=True.")
    walk.names[id(layer.output)] = walk.graph.node(
        "GlobalAveragePool", [walk.input_name(layer)], layer.name
    )


def _multiply(walk: Walk, layer: keras.layers.Multiply) -> None:
    _join(walk, "Mul", layer)


def _join(walk: Walk, operator: str, layer: keras.layers.Layer) -> None:
    """Write a binary operator, chained if there are more than two inputs."""
    name, *others = [walk.input_name(layer, at) for at in range(len(inputs_of(layer)))]
    for at, other in enumerate(others, start=1):
        result = layer.name if at == len(others) else f"{layer.name}.{at}"
        name = walk.graph.node(operator, [name, other], result)
    walk.names[id(layer.output)] = name


def _flatten(walk: Walk, layer: keras.layers.Flatten) -> None:
    if tuple(layer.input.shape[1:3]) != (1, 1):
        raise ConversionError(f"the layer {layer.name!r} flattens more than one position.")
    walk.names[id(layer.output)] = walk.graph.node(
        "Flatten", [walk.input_name(layer)], layer.name, axis=1
    )


def _dropout(walk: Walk, layer: keras.layers.Dropout) -> None:
    walk.names[id(layer.output)] = walk.names[id(layer.input)]
    if id(layer.input) in walk.scales:
        walk.scales[id(layer.output)] = walk.scales[id(layer.input)]


def _rescaling(walk: Walk, layer: keras.layers.Rescaling) -> None:
    if not isinstance(layer.scale, int | float) or layer.offset != 0:
        raise ConversionError(f"the layer {layer.name!r} does more than multiply by a number.")
    walk.names[id(layer.output)] = walk.input_name(layer)
    walk.scales[id(layer.output)] = float(layer.scale)


def _dense(walk: Walk, layer: keras.layers.Dense) -> None:
    kernel = values_of(layer.kernel) * np.float32(walk.scales.get(id(layer.input), 1.0))
    bias = values_of(layer.bias) if layer.use_bias else np.zeros(layer.units, np.float32)
    walk.names[id(layer.output)] = walk.graph.node(
        "Gemm",
        [
            walk.names[id(layer.input)],
            walk.graph.constant(f"{layer.name}.weight", kernel),
            walk.graph.constant(f"{layer.name}.bias", bias),
        ],
        layer.name,
    )
    _activate(walk, layer, layer.output)


RULES: Mapping[type, Callable[[Walk, Any], None]] = {
    **BOX_RULES,
    **MAP_RULES,
    ChannelShuffle: _channel_shuffle,
    ChannelSplit: _channel_split,
    HardSigmoid: _hard_sigmoid,
    keras.layers.Add: _add,
    keras.layers.Concatenate: _concatenate,
    keras.layers.MaxPooling2D: _max_pool,
    keras.layers.Activation: _activation,
    keras.layers.BatchNormalization: _batch_norm,
    BatchNormalization: _batch_norm,
    HardSwish: _hard_swish,
    keras.layers.Conv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.DepthwiseConv2D: _depthwise,
    DepthwiseConv2D: _depthwise,
    keras.layers.Dropout: _dropout,
    keras.layers.InputLayer: _input,
    keras.layers.Flatten: _flatten,
    keras.layers.GlobalAveragePooling2D: _average,
    keras.layers.Multiply: _multiply,
    keras.layers.Rescaling: _rescaling,
    keras.layers.ZeroPadding2D: _padding,
}
"""The function that writes a layer, by the layer's type; the graph's input has one, too."""
