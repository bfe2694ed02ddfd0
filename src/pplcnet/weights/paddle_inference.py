"""Reads Paddle inference models, as shipped by PaddleX and PaddleOCR, without Paddle.

They consist of a program (`inference.json` or `.pdmodel`) and one file with all parameters
(`.pdiparams`), sorted by name. The network is recognised as one of the catalog's PP-LCNets by the
shapes and strides of its convolutions, and its tensors map one to one to that network's layers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.models import catalog, pplcnet
from pplcnet.models.blocks import scaled_channels
from pplcnet.weights.limits import read_file
from pplcnet.weights.paddle_program import Operator, Program, dimensions, parse_json, parse_pdmodel
from pplcnet.weights.pickles import shown
from pplcnet.weights.protobuf import fields

__all__ = ["InferenceModel", "read_inference_model"]

# Parsed JSON takes about 20 times as much memory; a PP-LCNet's program is 0.3 MB.
PROGRAM_LIMIT = 8 << 20
FLOAT32 = 5


class InferenceModel(NamedTuple):
    """A recognised network: its `build_model` options and state dict."""

    name: str
    options: dict[str, Any]
    """num_classes, image_size, strides, last_conv, dropout."""
    tensors: dict[str, np.ndarray]
    """The state dict under the original's names."""


class _Layer(NamedTuple):
    kind: str
    tensors: dict[str, np.ndarray]
    stride: tuple[int, int]


def read_inference_model(path: str | PathLike[str]) -> InferenceModel:
    """Read `inference.json` or a `.pdmodel`, and the `.pdiparams` beside it.

    Raises:
        WeightsError: missing, damaged or truncated; or not one of the catalog's PP-LCNets.
    """
    path = Path(path)
    parameters = path.with_suffix(".pdiparams")
    for each in (path, parameters):
        if not each.exists():
            raise WeightsError(
                f"{each}: cannot be read (no such file); an inference model is two files, the "
                "program and the .pdiparams beside it."
            )
    try:
        content = read_file(path, PROGRAM_LIMIT)
        program = parse_json(content) if path.suffix == ".json" else parse_pdmodel(content)
        arrays = _read_parameters(read_file(parameters), program.parameters)
        return _recognised(program, arrays)
    except WeightsError as error:
        raise WeightsError(f"{path}: not accepted as an inference model: {error}") from error
    except Exception as error:  # a damaged program can have any form
        raise WeightsError(
            f"{path}: not a readable Paddle inference model ({type(error).__name__}: {error})."
        ) from error


def _read_parameters(
    content: bytes, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Parameters by name, from records of: version, no levels, version, TensorDesc, the numbers."""
    arrays, at = {}, 0
    for name in sorted(shapes):
        version, levels, tensor_version, size = struct.unpack_from("<IQIi", content, at)
        at += struct.calcsize("<IQIi")
        if version or levels or tensor_version or not 0 < size <= 1024:
            raise WeightsError(f"its parameters are not in the expected form at {shown(name)}.")
        described = content[at : at + size]
        at += size
        kind = next((value for number, value in fields(described) if number == 1), None)
        shape = tuple(dimensions(described))
        if kind != FLOAT32 or shape != shapes[name]:
            raise WeightsError(
                f"the parameter {shown(name)} is stored as {shape} of type {shown(kind)}; the "
                f"program says {str(shapes[name])[:80]}, float32."
            )
        length = 4 * math.prod(shape)
        if length > len(content) - at:
            raise WeightsError(f"its parameters are cut off at {shown(name)}.")
        arrays[name] = np.frombuffer(content, "<f4", math.prod(shape), at).reshape(shape)
        at += length
    if at != len(content):
        raise WeightsError(f"{len(content) - at} bytes are left over after its parameters.")
    return arrays


def _layers(program: Program, arrays: Mapping[str, np.ndarray]) -> tuple[list[_Layer], float]:
    """The layers with parameters, in the program's order, and the rate of a scaled dropout."""
    made_by = {each.output: each for each in program.operators}
    layers: list[_Layer] = []
    by_output: dict[str, _Layer] = {}
    dropout = 0.0
    for operator in program.operators:
        layer = None
        if operator.kind in ("conv2d", "depthwise_conv2d"):
            strides = operator.attributes["strides"]
            kernel = arrays[operator.inputs["filter"]]
            layer = _Layer("conv", {"weight": kernel}, (int(strides[0]), int(strides[1])))
        elif operator.kind == "batch_norm":
            roles = {"weight": "scale", "bias": "bias", "_mean": "mean", "_variance": "variance"}
            tensors = {part: arrays[operator.inputs[role]] for part, role in roles.items()}
            layer = _Layer("bn", tensors, (1, 1))
        elif operator.kind == "matmul":
            weight = next(name for name in operator.inputs.values() if name in arrays)
            layer = _Layer("fc", {"weight": arrays[weight]}, (1, 1))
        elif operator.kind == "add":
            _add_bias(operator, by_output, made_by, arrays)
        elif operator.kind == "dropout" and operator.attributes["mode"] == "downgrade_in_infer":
            dropout = _dropout_rate(operator, made_by)
        if layer is not None:
            layers.append(layer)
            by_output[operator.output] = layer
    return layers, dropout


def _add_bias(
    operator: Operator,
    by_output: Mapping[str, _Layer],
    made_by: Mapping[str, Operator],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Set the bias of the layer after whose output `operator` adds a parameter."""
    names = list(operator.inputs.values())
    layer = next((by_output[name] for name in names if name in by_output), None)
    for name in names:
        made = made_by.get(name)
        if made is not None and made.kind == "reshape":
            name = next((each for each in made.inputs.values() if each in arrays), name)
        if layer is not None and name in arrays:
            layer.tensors["bias"] = arrays[name].reshape(-1)


def _dropout_rate(operator: Operator, made_by: Mapping[str, Operator]) -> float:
    """The probability, an attribute or a constant's value; float32 shows as 0.2000000029."""
    rate = operator.attributes.get("p")
    if rate is None:
        rate = made_by[operator.inputs["p"]].attributes["value"]
    return round(float(rate), 6)


def _recognised(program: Program, arrays: Mapping[str, np.ndarray]) -> InferenceModel:
    layers, dropout = _layers(program, arrays)
    convolutions = [each for each in layers if each.kind == "conv"]
    classifiers = [each for each in layers if each.kind == "fc"]
    if len(classifiers) != 1 or not convolutions:
        raise WeightsError("it has no convolutions, or not one classifier.")
    last = [each for each in convolutions if each.tensors["weight"].shape[0] == 1280]
    paths = _paths(bool(last))
    if len(paths) != len(layers):
        raise WeightsError(
            f"its {len(layers)} layers with parameters are not PP-LCNet's {len(paths)}."
        )
    tensors: dict[str, np.ndarray] = {}
    strides: list[tuple[int, int]] = []
    for (path, kind), layer in zip(paths, layers, strict=True):
        if kind != layer.kind:
            raise WeightsError(f"it has a {layer.kind} where PP-LCNet has {path} ({kind}).")
        tensors |= {f"{path}.{part}": array for part, array in layer.tensors.items()}
        if path == "conv1.conv" or (path.endswith("0.dw_conv.conv") and path[6] in "3456"):
            strides.append(layer.stride)
    width = tensors["blocks6.1.pw_conv.conv.weight"].shape[0]
    network = next(
        (
            row.name
            for row in catalog.CATALOG.values()
            if row.family == "pplcnet" and scaled_channels(512 * row.scale) == width
        ),
        None,
    )
    if network is None:
        raise WeightsError(
            f"its backbone ends in {width} channels, unlike any PP-LCNet of the catalog."
        )
    *_, height, image_width = program.input_shape
    options: dict[str, Any] = {
        "num_classes": int(classifiers[0].tensors["weight"].shape[1]),
        "image_size": (int(height), int(image_width)),
        "strides": tuple(strides),
        "last_conv": bool(last),
        "dropout": dropout,
    }
    return InferenceModel(network, options, tensors)


def _paths(has_last_conv: bool) -> list[tuple[str, str]]:
    """PP-LCNet's layers with parameters, in execution order."""
    paths = [("conv1.conv", "conv"), ("conv1.bn", "bn")]
    for stage, blocks in pplcnet.STAGES:
        for index, block in enumerate(blocks):
            path = f"{stage}.{index}"
            paths += [(f"{path}.dw_conv.conv", "conv"), (f"{path}.dw_conv.bn", "bn")]
            if block.has_squeeze_excite:
                paths += [(f"{path}.se.conv1", "conv"), (f"{path}.se.conv2", "conv")]
            paths += [(f"{path}.pw_conv.conv", "conv"), (f"{path}.pw_conv.bn", "bn")]
    return [*paths, *([("last_conv", "conv")] if has_last_conv else []), ("fc", "fc")]
