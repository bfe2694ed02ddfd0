"""The operators written by this project's exporter and quantiser, and the shapes they produce.

A rule checks an operator's inputs and attributes and returns the shapes of its outputs and its
number of multiplications. An operator without a rule is refused.

This file is longer than others because it is a list: one function per operator, and their table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from pplcnet.runtime.checks.onnx_reading import FLOAT, INT8, INT64, UINT8, Node, Tensor
from pplcnet.system.protobuf import ProtobufError

__all__ = ["MAX_RANK", "OPERATORS", "Operator"]

MAX_RANK = 5
MAX_KERNEL = 32
MAX_DILATION = 32
MAX_ENLARGEMENT = 8
NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
"""How a detector's feature maps are upsampled."""
LINEAR = tuple(
    {"mode": "linear", "coordinate_transformation_mode": each}
    for each in ("half_pixel", "align_corners")
)
"""How a segmentation network's maps are resized."""
MAX_RESIZED = 4096


Result: TypeAlias = tuple[list[Tensor], int]
"""The outputs of an operator, and the number of multiplications in one run."""
Rule: TypeAlias = Callable[[Node, list[Tensor]], Result]
Operator: TypeAlias = tuple[range, int, Mapping[str, type], Rule]
"""An operator's allowed numbers of inputs and outputs, its attributes, and its rule."""


def _refuse(node: Node, why: str) -> ProtobufError:
    return ProtobufError(f"the operator {node.operator} ({(node.outputs or ['?'])[0]!r}) {why}")


def _result(outputs: list[Tensor], work: int = 0) -> Result:
    return outputs, work


def _floats(node: Node, tensors: list[Tensor]) -> None:
    if any(each.dtype != FLOAT for each in tensors):
        raise _refuse(node, "does not get float32")


def _same(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    return _result([Tensor(FLOAT, inputs[0].shape)])


def _clip(node: Node, inputs: list[Tensor]) -> Result:
    if any(each.shape not in ((), (1,)) or not each.is_constant for each in inputs[1:]):
        raise _refuse(node, "has limits that are no constants")
    return _same(node, inputs)


def _broadcast(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    first, second = inputs[0].shape, inputs[1].shape
    if len(second) > len(first):
        first, second = second, first
    padded = (1,) * (len(first) - len(second)) + second
    if any(a != b and 1 not in (a, b) for a, b in zip(first, padded, strict=True)):
        raise _refuse(node, f"joins the shapes {first} and {second}")
    return _result([Tensor(FLOAT, tuple(map(max, first, padded)))])


def _cast(node: Node, inputs: list[Tensor]) -> Result:
    if node.attributes.get("to") != FLOAT or inputs[0].dtype != UINT8:
        raise _refuse(node, "does not make float32 of uint8")
    return _result([Tensor(FLOAT, inputs[0].shape)])


def _transpose(node: Node, inputs: list[Tensor]) -> Result:
    order, shape = _list(node, "perm"), inputs[0].shape
    if sorted(order) != list(range(len(shape))):
        raise _refuse(node, f"turns {shape} by {order}")
    return _result([Tensor(inputs[0].dtype, tuple(shape[each] for each in order))])


def _convolution(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    kernel = inputs[1]
    if len(inputs[0].shape) != 4 or len(kernel.shape) != 4 or not kernel.is_constant:
        raise _refuse(node, "is not that of an image with constant weights")
    batch, channels, *size = inputs[0].shape
    filters, depth, *kernel_size = kernel.shape
    groups = _integer(node, "group", 1)
    if groups < 1 or filters % groups or depth * groups != channels or 0 in kernel.shape:
        raise _refuse(node, f"has weights of {kernel.shape} in {groups} groups for {channels}")
    if len(inputs) > 2 and (inputs[2].shape != (filters,) or not inputs[2].is_constant):
        raise _refuse(node, "has a bias of another length, or that is no constant")
    if _list(node, "kernel_shape") != tuple(kernel_size):
        raise _refuse(node, "says another size of its kernel than its weights have")
    out = (batch, filters, *_windows(node, size, kernel_size))
    return _result([Tensor(FLOAT, out)], math.prod(out) * depth * math.prod(kernel_size))


def _max_pool(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    if len(inputs[0].shape) != 4:
        raise _refuse(node, "is not that of an image")
    batch, channels, *size = inputs[0].shape
    kernel = list(_list(node, "kernel_shape"))
    out = (batch, channels, *_windows(node, size, kernel))
    return _result([Tensor(FLOAT, out)], math.prod(out) * math.prod(kernel))


def _windows(node: Node, size: list[int], kernel: list[int]) -> list[int]:
    """The number of windows along each side."""
    strides, pads = _list(node, "strides"), _list(node, "pads")
    dilations = node.attributes.get("dilations", (1, 1))
    if not isinstance(dilations, tuple) or len(dilations) != 2:
        raise _refuse(node, f"has dilations of {dilations}")
    if len(kernel) != 2 or len(strides) != 2 or len(pads) != 4:
        raise _refuse(node, "has other than two sides")
    found = []
    for at, dilation in enumerate(dilations):
        before, after = pads[at], pads[at + 2]
        if not (1 <= kernel[at] <= MAX_KERNEL and 1 <= strides[at] <= MAX_KERNEL):
            raise _refuse(node, f"has a kernel of {kernel} and strides of {strides}")
        if not (0 <= before < MAX_KERNEL and 0 <= after < MAX_KERNEL):
            raise _refuse(node, f"pads by {pads}")
        if not 1 <= dilation <= MAX_DILATION or (node.operator == "MaxPool" and dilation > 1):
            raise _refuse(node, f"has dilations of {dilations}")
        covered = (kernel[at] - 1) * dilation + 1
        found.append((size[at] + before + after - covered) // strides[at] + 1)
    return found


def _resize(node: Node, inputs: list[Tensor]) -> Result:
    """Repeats every pixel a whole number of times, or resizes bilinearly by any factor."""
    _floats(node, inputs)
    shape, scales, attributes = inputs[0].shape, inputs[2].floats, node.attributes
    if inputs[1].shape != (0,) or len(shape) != 4 or scales is None or len(scales) != 4:
        raise _refuse(node, "does not resize an image by constants")
    is_whole = all(each in range(1, MAX_ENLARGEMENT + 1) for each in scales)
    if not (attributes == NEAREST and is_whole) and attributes not in LINEAR:
        raise _refuse(node, f"resizes by {scales} as {dict(attributes)}")
    # The limit on tensor sizes bounds the factors.
    if scales[:2] != (1, 1) or not all(0 < each <= MAX_RESIZED for each in scales):
        raise _refuse(node, f"resizes by {scales}")
    made = tuple(math.floor(a * b) for a, b in zip(shape, scales, strict=True))
    return _result([Tensor(FLOAT, made)], 4 * math.prod(made))


def _softmax(node: Node, inputs: list[Tensor]) -> Result:
    if node.attributes.get("axis") != -1:
        raise _refuse(node, "does not take the last axis")
    return _same(node, inputs)


def _matmul(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    shape, weights = inputs[0].shape, inputs[1]
    if not weights.is_constant or len(weights.shape) != 2 or shape[-1:] != weights.shape[:1]:
        raise _refuse(node, f"multiplies {shape} by {weights.shape}")
    out = (*shape[:-1], weights.shape[1])
    return _result([Tensor(FLOAT, out)], math.prod(out) * shape[-1])


def _average(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    if len(inputs[0].shape) != 4:
        raise _refuse(node, "is not that of an image")
    return _result([Tensor(FLOAT, (*inputs[0].shape[:2], 1, 1))])


def _concat(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    first, axis = inputs[0].shape, _integer(node, "axis", 1)
    if not 1 <= axis < len(first):
        raise _refuse(node, "does not join what follows the batch")
    rest = (*first[:axis], *first[axis + 1 :])
    if any((*each.shape[:axis], *each.shape[axis + 1 :]) != rest for each in inputs):
        raise _refuse(node, "joins tensors of different sizes")
    joined = sum(each.shape[axis] for each in inputs)
    return _result([Tensor(FLOAT, (*first[:axis], joined, *first[axis + 1 :]))])


def _split(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    shape = inputs[0].shape
    if _integer(node, "axis", 0) != 1 or len(shape) < 2 or shape[1] % 2:
        raise _refuse(node, "does not halve the channels")
    half = Tensor(FLOAT, (shape[0], shape[1] // 2, *shape[2:]))
    return _result([half, half])


def _reshape(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs[:1])
    wanted, shape = inputs[1].integers, inputs[0].shape
    if inputs[1].dtype != INT64 or wanted is None or len(inputs[1].shape) != 1:
        raise _refuse(node, "gets a shape that is no constant")
    # 0 keeps a size; the exporter writes it for the batch.
    if any(each < 0 or (each == 0 and at >= len(shape)) for at, each in enumerate(wanted)):
        raise _refuse(node, f"gets the shape {wanted}")
    result = tuple(each or shape[at] for at, each in enumerate(wanted))
    if math.prod(result) != math.prod(shape):
        raise _refuse(node, f"makes {result} of {shape}")
    return _result([Tensor(FLOAT, result)])


def _flatten(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    shape = inputs[0].shape
    if _integer(node, "axis", 1) != 1 or len(shape) < 2:
        raise _refuse(node, "does not flatten what follows the batch")
    return _result([Tensor(FLOAT, (shape[0], math.prod(shape[1:])))])


def _gemm(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs)
    shapes = [each.shape for each in inputs]
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][0]:
        raise _refuse(node, f"multiplies {shapes[0]} by {shapes[1]}")
    if not all(each.is_constant for each in inputs[1:]) or shapes[2] != shapes[1][1:]:
        raise _refuse(node, "has weights or a bias that do not fit")
    out = (shapes[0][0], shapes[1][1])
    return _result([Tensor(FLOAT, out)], math.prod(out) * shapes[0][1])


def _quantize(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs[:2])
    _check_scales(node, inputs)
    # NNCF's accuracy control leaves weights in float, followed by both operators.
    kept = inputs[0].is_constant
    return _result([Tensor(inputs[2].dtype, inputs[0].shape, is_constant=kept)])


def _dequantize(node: Node, inputs: list[Tensor]) -> Result:
    _floats(node, inputs[1:2])
    _check_scales(node, inputs)
    if inputs[0].dtype != inputs[2].dtype:
        raise _refuse(node, "has a zero point of another type")
    return _result([Tensor(FLOAT, inputs[0].shape, is_constant=inputs[0].is_constant)])


def _check_scales(node: Node, inputs: list[Tensor]) -> None:
    values, scale, zero = inputs
    if zero.dtype not in (UINT8, INT8) or not (scale.is_constant and zero.is_constant):
        raise _refuse(node, "has a scale or a zero point that is no constant of 8 bits")
    axis = _integer(node, "axis", 1)
    axis += len(values.shape) if axis < 0 else 0  # NNCF counts the classifier's axis from the end
    if scale.shape != zero.shape or len(scale.shape) > 1:
        raise _refuse(node, f"has scales of {scale.shape} and zero points of {zero.shape}")
    if scale.shape and not (0 <= axis < len(values.shape) and scale.shape[0] == values.shape[axis]):
        raise _refuse(node, f"has {scale.shape[0]} scales along {axis} of {values.shape}")


def _list(node: Node, name: str) -> tuple[int, ...]:
    value = node.attributes.get(name)
    if not isinstance(value, tuple):
        raise _refuse(node, f"has no list {name!r}")
    return value


def _integer(node: Node, name: str, default: int) -> int:
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise _refuse(node, f"has a {name!r} that is no integer")
    return value


_ONE, _TWO, _THREE = range(1, 2), range(2, 3), range(3, 4)
_WINDOW = {"kernel_shape": tuple, "strides": tuple, "pads": tuple, "dilations": tuple}

OPERATORS: Mapping[str, Operator] = {
    "Add": (_TWO, 1, {}, _broadcast),
    "Cast": (_ONE, 1, {"to": int}, _cast),
    "Clip": (_THREE, 1, {}, _clip),
    "Concat": (range(2, 17), 1, {"axis": int}, _concat),
    "Conv": (range(2, 4), 1, {**_WINDOW, "group": int}, _convolution),
    "DequantizeLinear": (_THREE, 1, {"axis": int}, _dequantize),
    "Flatten": (_ONE, 1, {"axis": int}, _flatten),
    "Gemm": (_THREE, 1, {}, _gemm),
    "GlobalAveragePool": (_ONE, 1, {}, _average),
    # From bundles exported before gates became Clip.
    "HardSigmoid": (_ONE, 1, {"alpha": float, "beta": float}, _same),
    "HardSwish": (_ONE, 1, {}, _same),
    "Identity": (_ONE, 1, {}, _same),
    "MatMul": (_TWO, 1, {}, _matmul),
    "MaxPool": (_ONE, 1, _WINDOW, _max_pool),
    "Mul": (_TWO, 1, {}, _broadcast),
    "QuantizeLinear": (_THREE, 1, {"axis": int}, _quantize),
    "Relu": (_ONE, 1, {}, _same),
    "Reshape": (_TWO, 1, {}, _reshape),
    "Resize": (_THREE, 1, dict.fromkeys(NEAREST, str), _resize),
    "Sigmoid": (_ONE, 1, {}, _same),
    "Softmax": (_ONE, 1, {"axis": int}, _softmax),
    "Split": (_ONE, 2, {"axis": int}, _split),
    "Sqrt": (_ONE, 1, {}, _same),
    "Sub": (_TWO, 1, {}, _broadcast),
    "Transpose": (_ONE, 1, {"perm": tuple}, _transpose),
}
