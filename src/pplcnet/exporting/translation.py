"""A Keras graph of the catalog's layers to few ONNX operators.

What stays: one Conv for convolution, BatchNorm and padding together, one HardSwish for each
activation, one Clip for each hard-sigmoid gate, Gemm for the classifier, and in front Cast,
Transpose and the subtraction of the mean. A layer without a rule here is an error that names it.

There is no HardSigmoid operator in the output: OpenCV 5.0 fuses one that is followed by a Mul to a
HardSwish of the wrong tensor, and OpenVINO 2026.4 ignores an offset of 0. Slope and offset go into
the convolution in front, which leaves `Clip(0, 1)`, which every engine reads the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from pplcnet.errors import ConversionError
from pplcnet.exporting.folding import fold_batch_norm, gate_after, is_linear, values_of
from pplcnet.exporting.onnx_graph import OnnxGraph
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.layers import (
    BatchNormalization,
    ChannelShuffle,
    ChannelSplit,
    DepthwiseConv2D,
    HardSigmoid,
    HardSwish,
)

__all__ = ["to_onnx"]

Array = NDArray[np.float32]


def to_onnx(
    model: keras.Model,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    *,
    batch: int | None,
    activation: str = "softmax",
) -> onnx.ModelProto:
    """Translate a functional model that maps normalised images to logits.

    The ONNX model takes `images` uint8 (N, height, width, 3) RGB, normalises them itself, and
    returns `logits` float32 (N, classes). N is `batch`, or any number when that is None.
    `activation` is what makes probabilities of them; it stands in the metadata alone.

    Raises:
        ConversionError: a layer that has no rule; it is named.
    """
    translation = _Translation(model, preprocessing)
    output = translation.run()
    size: int | str = "N" if batch is None else batch
    return translation.graph.to_model(
        name=model.name,
        input_shape=[size, *preprocessing.image_size, 3],
        output_shape=[size, len(classes)],
        output=output,
        metadata={
            "classes": json.dumps(list(classes), ensure_ascii=False),
            "preprocessing": json.dumps(preprocessing.to_dict()),
            "input": "images: uint8 RGB (N, height, width, 3), resized as preprocessing says",
            "output": f"logits: float32 (N, classes), before {activation}",
        },
    )


class _Translation:
    def __init__(self, model: keras.Model, preprocessing: Preprocessing) -> None:
        self.graph = OnnxGraph()
        self._model = model
        self._preprocessing = preprocessing
        self._names: dict[int, str] = {}
        """Keras tensor to the ONNX tensor that holds it, channels first."""
        self._pads: dict[int, tuple[int, int, int, int]] = {}
        """Padded Keras tensors: (top, left, bottom, right), for the convolution that follows."""
        self._scales: dict[int, float | Array] = {}
        """Keras tensors whose factor the layer that follows takes into its kernel."""
        self._consumers: dict[int, list[keras.layers.Layer]] = {}
        for layer in model.layers:
            if not isinstance(layer, keras.layers.InputLayer):
                for tensor in _inputs(layer):
                    self._consumers.setdefault(id(tensor), []).append(layer)

    def run(self) -> str:
        """Translate every layer in order; the name of the logits' tensor."""
        for layer in self._model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                self._input(layer)
            elif id(layer.output) not in self._names and id(layer.output) not in self._pads:
                self._rule(layer)(self, layer)
        return self._names[id(self._model.outputs[0])]

    def _rule(self, layer: keras.layers.Layer) -> Callable[..., None]:
        for kind, rule in _RULES.items():
            if type(layer) is kind:
                return rule
        raise ConversionError(
            f"the layer {layer.name!r} is a {type(layer).__name__}, which the exporter does not "
            f"know; it knows {', '.join(sorted({kind.__name__ for kind in _RULES}))}."
        )

    def _name(self, layer: keras.layers.Layer, at: int = 0) -> str:
        tensor = _inputs(layer)[at]
        if id(tensor) in self._pads or id(tensor) in self._scales:
            raise ConversionError(f"the layer {layer.name!r} cannot follow padding or scaling.")
        return self._names[id(tensor)]

    def _only_consumer(self, tensor: keras.KerasTensor) -> keras.layers.Layer | None:
        consumers = self._consumers.get(id(tensor), [])
        return consumers[0] if len(consumers) == 1 else None

    # ------------------------------------------------------------------ rules

    def _input(self, layer: keras.layers.InputLayer) -> None:
        transposed = self.graph.node("Transpose", ["images"], "images_nchw", perm=[0, 3, 1, 2])
        floats = self.graph.node("Cast", [transposed], "images_float", to=onnx.TensorProto.FLOAT)
        mean = 255.0 * np.asarray(self._preprocessing.mean, np.float32).reshape(1, 3, 1, 1)
        centred = self.graph.node(
            "Sub", [floats, self.graph.constant("mean", mean)], "images_centred"
        )
        # The division by 255 std goes into the stem's kernel, which is exact. The mean must not:
        # the padding around the picture is zero after its subtraction.
        self._names[id(layer.output)] = centred
        self._scales[id(layer.output)] = (
            1.0 / (255.0 * np.asarray(self._preprocessing.std, np.float64))
        ).astype(np.float32)

    def _padding(self, layer: keras.layers.ZeroPadding2D) -> None:
        (top, bottom), (left, right) = layer.padding
        source, padded = layer.input, layer.output
        self._names[id(padded)] = self._names[id(source)]
        self._pads[id(padded)] = (top, left, bottom, right)
        if id(source) in self._scales:
            self._scales[id(padded)] = self._scales[id(source)]

    def _convolution(self, layer: keras.layers.Conv2D) -> None:
        kernel = values_of(layer.kernel).transpose(3, 2, 0, 1)  # H,W,I,O -> O,I,H,W
        scale = self._scales.get(id(layer.input))
        if scale is not None:
            kernel = kernel * np.reshape(scale, (1, -1, 1, 1))
        self._emit_convolution(layer, kernel, groups=layer.groups)

    def _depthwise(self, layer: keras.layers.DepthwiseConv2D) -> None:
        kernel = values_of(layer.kernel)
        if kernel.shape[3] != 1:
            raise ConversionError(f"the layer {layer.name!r} has a depth multiplier above 1.")
        if id(layer.input) in self._scales:
            raise ConversionError(f"the layer {layer.name!r} cannot follow scaling.")
        self._emit_convolution(layer, kernel.transpose(2, 3, 0, 1), groups=kernel.shape[2])

    def _emit_convolution(self, layer: keras.layers.Layer, kernel: Array, groups: int) -> None:
        if tuple(layer.dilation_rate) != (1, 1) or layer.data_format != "channels_last":
            raise ConversionError(f"the layer {layer.name!r} is dilated or channels first.")
        pads = self._convolution_pads(layer)
        bias = values_of(layer.bias) if layer.use_bias else np.zeros(len(kernel), np.float32)
        result = layer.output
        norm = self._only_consumer(result) if is_linear(layer) else None
        if isinstance(norm, keras.layers.BatchNormalization):
            kernel, bias = fold_batch_norm(kernel, bias, norm)
            result = norm.output
        gate = gate_after(layer, result, self._only_consumer(result))
        if gate is not None:
            kernel, bias = kernel * np.float32(gate.slope), bias * np.float32(gate.slope)
            bias = bias + np.float32(gate.offset)
        inputs = [self._names[id(layer.input)], self.graph.constant(f"{layer.name}.weight", kernel)]
        if bias.any():
            inputs.append(self.graph.constant(f"{layer.name}.bias", bias))
        self._names[id(result)] = self.graph.node(
            "Conv",
            inputs,
            layer.name,
            kernel_shape=list(kernel.shape[2:]),
            strides=list(layer.strides),
            pads=list(pads),
            group=groups,
        )
        if gate is None:
            self._activate(layer, result)
        else:
            self._names[id(gate.output)] = self._clip(layer.name, gate.name, 0.0, 1.0)

    def _activate(self, layer: keras.layers.Layer, result: keras.KerasTensor) -> None:
        """An activation that is part of the layer itself."""
        kind = keras.activations.serialize(layer.activation)
        if kind != "linear":
            self._names[id(result)] = self._activation_node(
                kind, self._names[id(result)], f"{layer.name}.activation", layer
            )

    def _convolution_pads(self, layer: keras.layers.Layer) -> tuple[int, int, int, int]:
        explicit = self._pads.get(id(layer.input))
        if layer.padding == "valid":
            return explicit or (0, 0, 0, 0)
        if explicit is not None:
            raise ConversionError(f"the layer {layer.name!r} pads twice.")
        pads = []
        for kernel, stride, size in zip(
            layer.kernel_size, layer.strides, layer.input.shape[1:3], strict=True
        ):
            # "same" as Keras defines it: the smaller half in front.
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads.append((total // 2, total - total // 2))
        (top, bottom), (left, right) = pads
        return top, left, bottom, right

    def _batch_norm(self, layer: keras.layers.BatchNormalization) -> None:
        raise ConversionError(
            f"the layer {layer.name!r} does not directly follow a convolution that only it uses."
        )

    def _activation(self, layer: keras.layers.Activation) -> None:
        kind = keras.activations.serialize(layer.activation)
        self._names[id(layer.output)] = self._activation_node(
            kind, self._name(layer), layer.name, layer
        )

    def _hard_swish(self, layer: HardSwish) -> None:
        self._names[id(layer.output)] = self.graph.node(
            "HardSwish", [self._name(layer)], layer.name
        )

    def _activation_node(self, kind: str, source: str, name: str, layer: keras.layers.Layer) -> str:
        if kind == "hard_silu":
            return self.graph.node("HardSwish", [source], name)
        if kind == "hard_sigmoid":
            return self._clipped_line(source, name, 1 / 6, 0.5)
        if kind == "relu":
            return self.graph.node("Relu", [source], name)
        if kind == "relu6":
            return self._clip(source, name, 0.0, 6.0)
        if kind == "sigmoid":
            return self.graph.node("Sigmoid", [source], name)
        raise ConversionError(
            f"the layer {layer.name!r} uses the activation {kind!r}; the exporter knows "
            "hard_silu, hard_sigmoid, relu, relu6 and sigmoid."
        )

    def _clip(self, source: str, name: str, low: float, high: float) -> str:
        limits = [
            self.graph.constant(f"{name}.{limit}", np.array(limit, np.float32))
            for limit in (low, high)
        ]
        return self.graph.node("Clip", [source, *limits], name)

    def _hard_sigmoid(self, layer: HardSigmoid) -> None:
        self._names[id(layer.output)] = self._clipped_line(
            self._name(layer), layer.name, layer.slope, layer.offset
        )

    def _clipped_line(self, source: str, name: str, slope: float, offset: float) -> str:
        """`clip(slope * x + offset, 0, 1)` where no convolution can take slope and offset."""
        for operator, number, neutral in (("Mul", slope, 1.0), ("Add", offset, 0.0)):
            if number != neutral:
                what = f"{name}.{operator.lower()}"
                constant = self.graph.constant(f"{what}.by", np.array(number, np.float32))
                source = self.graph.node(operator, [source, constant], what)
        return self._clip(source, name, 0.0, 1.0)

    def _max_pool(self, layer: keras.layers.MaxPooling2D) -> None:
        # ONNX pads with the least number where Keras' padding layer pads with zeros: the same
        # after an activation that has nothing below zero, which the networks see to.
        pads = self._pads.get(id(layer.input), (0, 0, 0, 0))
        if layer.padding != "valid" or (any(pads) and not self._is_above_zero(layer.input)):
            raise ConversionError(f"the layer {layer.name!r} pads in a way that ONNX does not.")
        self._names[id(layer.output)] = self.graph.node(
            "MaxPool",
            [self._names[id(layer.input)]],
            layer.name,
            kernel_shape=list(layer.pool_size),
            strides=list(layer.strides),
            pads=list(pads),
        )

    def _is_above_zero(self, padded: keras.KerasTensor) -> bool:
        padding = next(each for each in self._model.layers if each.output is padded)
        source = next(each for each in self._model.layers if each.output is padding.input)
        return isinstance(source, keras.layers.Activation) and (
            keras.activations.serialize(source.activation) in ("relu", "relu6")
        )

    def _add(self, layer: keras.layers.Add) -> None:
        self._join("Add", layer)

    def _concatenate(self, layer: keras.layers.Concatenate) -> None:
        if layer.axis not in (-1, 3):
            raise ConversionError(f"the layer {layer.name!r} does not join channels.")
        names = [self._name(layer, at) for at in range(len(_inputs(layer)))]
        self._names[id(layer.output)] = self.graph.node("Concat", names, layer.name, axis=1)

    def _channel_split(self, layer: ChannelSplit) -> None:
        first, second = layer.output
        names = self.graph.split(self._name(layer), layer.name, axis=1)
        self._names[id(first)], self._names[id(second)] = names

    def _channel_shuffle(self, layer: ChannelShuffle) -> None:
        height, width, channels = layer.output.shape[1:]
        name = self._name(layer)
        halves = self.graph.constant(
            f"{layer.name}.halves", np.array([0, 2, channels // 2, height, width], np.int64)
        )
        name = self.graph.node("Reshape", [name, halves], f"{layer.name}.apart")
        name = self.graph.node("Transpose", [name], f"{layer.name}.turned", perm=[0, 2, 1, 3, 4])
        sizes = self.graph.constant(
            f"{layer.name}.joined", np.array([0, channels, height, width], np.int64)
        )
        self._names[id(layer.output)] = self.graph.node("Reshape", [name, sizes], layer.name)

    def _average(self, layer: keras.layers.GlobalAveragePooling2D) -> None:
        if not layer.keepdims:
            raise ConversionError(f"the layer {layer.name!r} must keep its dimensions.")
        self._names[id(layer.output)] = self.graph.node(
            "GlobalAveragePool", [self._name(layer)], layer.name
        )

    def _multiply(self, layer: keras.layers.Multiply) -> None:
        self._join("Mul", layer)

    def _join(self, operator: str, layer: keras.layers.Layer) -> None:
        """An operator of two; more inputs are taken one after the other."""
        name, *others = [self._name(layer, at) for at in range(len(_inputs(layer)))]
        for at, other in enumerate(others, start=1):
            result = layer.name if at == len(others) else f"{layer.name}.{at}"
            name = self.graph.node(operator, [name, other], result)
        self._names[id(layer.output)] = name

    def _flatten(self, layer: keras.layers.Flatten) -> None:
        if tuple(layer.input.shape[1:3]) != (1, 1):
            raise ConversionError(f"the layer {layer.name!r} flattens more than one position.")
        self._names[id(layer.output)] = self.graph.node(
            "Flatten", [self._name(layer)], layer.name, axis=1
        )

    def _dropout(self, layer: keras.layers.Dropout) -> None:
        self._names[id(layer.output)] = self._names[id(layer.input)]
        if id(layer.input) in self._scales:
            self._scales[id(layer.output)] = self._scales[id(layer.input)]

    def _rescaling(self, layer: keras.layers.Rescaling) -> None:
        if not isinstance(layer.scale, int | float) or layer.offset != 0:
            raise ConversionError(f"the layer {layer.name!r} does more than multiply by a number.")
        self._names[id(layer.output)] = self._name(layer)
        self._scales[id(layer.output)] = float(layer.scale)

    def _dense(self, layer: keras.layers.Dense) -> None:
        kernel = values_of(layer.kernel) * np.float32(self._scales.get(id(layer.input), 1.0))
        bias = values_of(layer.bias) if layer.use_bias else np.zeros(layer.units, np.float32)
        self._names[id(layer.output)] = self.graph.node(
            "Gemm",
            [
                self._names[id(layer.input)],
                self.graph.constant(f"{layer.name}.weight", kernel),
                self.graph.constant(f"{layer.name}.bias", bias),
            ],
            layer.name,
        )
        self._activate(layer, layer.output)


_RULES: dict[type, Callable[..., None]] = {
    ChannelShuffle: _Translation._channel_shuffle,
    ChannelSplit: _Translation._channel_split,
    HardSigmoid: _Translation._hard_sigmoid,
    keras.layers.Add: _Translation._add,
    keras.layers.Concatenate: _Translation._concatenate,
    keras.layers.MaxPooling2D: _Translation._max_pool,
    keras.layers.Activation: _Translation._activation,
    keras.layers.BatchNormalization: _Translation._batch_norm,
    BatchNormalization: _Translation._batch_norm,
    HardSwish: _Translation._hard_swish,
    keras.layers.Conv2D: _Translation._convolution,
    keras.layers.Dense: _Translation._dense,
    keras.layers.DepthwiseConv2D: _Translation._depthwise,
    DepthwiseConv2D: _Translation._depthwise,
    keras.layers.Dropout: _Translation._dropout,
    keras.layers.Flatten: _Translation._flatten,
    keras.layers.GlobalAveragePooling2D: _Translation._average,
    keras.layers.Multiply: _Translation._multiply,
    keras.layers.Rescaling: _Translation._rescaling,
    keras.layers.ZeroPadding2D: _Translation._padding,
}


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    return list(layer.input) if isinstance(layer.input, list | tuple) else [layer.input]
