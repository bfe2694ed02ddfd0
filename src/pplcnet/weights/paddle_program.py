"""The program of a Paddle inference model as a plain list of operators.

There are two forms: `inference.json` of Paddle 3 (values are numbered), and `.pdmodel` of Paddle 2
(a protobuf; values are named). Both are parsed into a `Program`.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from pplcnet.errors import WeightsError
from pplcnet.weights.protobuf import fields, signed, unpack_varints

__all__ = ["Operator", "Program", "parse_json", "parse_pdmodel"]

MAX_OPERATORS = 100_000


class Operator(NamedTuple):
    """One operator, with its inputs by role and its first output."""

    kind: str
    inputs: dict[str, str]
    output: str
    attributes: dict[str, Any]


class Program(NamedTuple):
    """The computation of a deployed model."""

    operators: list[Operator]
    parameters: dict[str, tuple[int, ...]]
    """Parameter name to shape."""
    input_shape: tuple[int, ...]
    """(N, C, H, W) as in the file; -1 means any."""


# Roles of the inputs, in Paddle 3's order.
_ROLES = {
    "conv2d": ("x", "filter"),
    "depthwise_conv2d": ("x", "filter"),
    "batch_norm": ("x", "mean", "variance", "scale", "bias"),
    "dropout": ("x", "seed", "p"),
}


def parse_json(text: bytes) -> Program:
    """Paddle 3's `inference.json`."""
    program = json.loads(text)["program"]
    operators = program["regions"][0]["blocks"][0]["ops"]
    if len(operators) > MAX_OPERATORS:
        raise WeightsError(f"a program of {len(operators)} operators.")
    parameters: dict[str, tuple[int, ...]] = {}
    names: dict[int, str] = {}
    parsed: list[Operator] = []
    input_shape: tuple[int, ...] = ()
    for operator in operators:
        kind = operator["#"].partition(".")[2].rstrip("_") or operator["#"]
        outputs = operator["O"] if isinstance(operator["O"], list) else [operator["O"]]
        if kind == "p":
            name = operator["A"][3]
            parameters[name] = tuple(outputs[0]["TT"]["D"][1])
            names[outputs[0]["%"]] = name
            continue
        attributes = {each["N"]: _json_value(each["AT"]) for each in operator["A"]}
        given = [names.get(each["%"], f"%{each['%']}") for each in operator.get("I", [])]
        roles = _ROLES.get(kind, tuple(f"x{at}" for at in range(len(given))))
        output = f"%{outputs[0]['%']}" if outputs else ""
        if kind == "data":
            input_shape = tuple(attributes["shape"])
        parsed.append(Operator(kind, dict(zip(roles, given, strict=False)), output, attributes))
    return Program(parsed, parameters, input_shape)


def _json_value(typed: Any) -> Any:
    value = typed.get("D")
    if isinstance(value, list):
        return [_json_value(each) if isinstance(each, dict) else each for each in value]
    return value


# Paddle 2's names of operators and their inputs, by those of Paddle 3.
_KINDS = {
    "elementwise_add": "add",
    "elementwise_mul": "multiply",
    "matmul_v2": "matmul",
    "mul": "matmul",
    "hard_swish": "hardswish",
    "hard_sigmoid": "hardsigmoid",
    "flatten_contiguous_range": "flatten",
    "reshape2": "reshape",
}
_INPUTS = {
    ("conv2d", "Input"): "x",
    ("conv2d", "Filter"): "filter",
    ("depthwise_conv2d", "Input"): "x",
    ("depthwise_conv2d", "Filter"): "filter",
    ("batch_norm", "X"): "x",
    ("batch_norm", "Mean"): "mean",
    ("batch_norm", "Variance"): "variance",
    ("batch_norm", "Scale"): "scale",
    ("batch_norm", "Bias"): "bias",
    ("dropout", "X"): "x",
}
_OUTPUTS = ("Out", "Output", "Y")


def parse_pdmodel(content: bytes) -> Program:
    """Paddle 2's `.pdmodel`, a ProgramDesc of framework.proto."""
    block = next((value for number, value in fields(content) if number == 1), None)
    if not isinstance(block, bytes):
        raise WeightsError("it holds no program.")
    shapes: dict[str, tuple[int, ...]] = {}
    persistable: set[str] = set()
    parsed: list[Operator] = []
    for number, value in fields(block):
        if number == 3 and isinstance(value, bytes):
            name, shape, is_persistable = _variable(value)
            shapes[name] = shape
            if is_persistable and shape:
                persistable.add(name)
        elif number == 4 and isinstance(value, bytes):
            parsed.append(_operator(value))
    feeds = [each.output for each in parsed if each.kind == "feed"]
    return Program(
        [each for each in parsed if each.kind not in ("feed", "fetch")],
        {name: shapes[name] for name in shapes if name in persistable},
        shapes.get(feeds[0], ()) if feeds else (),
    )


def _variable(content: bytes) -> tuple[str, tuple[int, ...], bool]:
    name, shape, is_persistable = "", [], False
    for number, value in fields(content):
        if number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif number == 3:
            is_persistable = bool(value)
        elif number == 2 and isinstance(value, bytes):
            # VarType.lod_tensor (3) . tensor (1) . dims (2)
            for lod_tensor in _messages(value, 3):
                for tensor in _messages(lod_tensor, 1):
                    shape = dimensions(tensor)
    return name, tuple(shape), is_persistable


def dimensions(tensor_description: bytes) -> list[int]:
    """The dims (2) of a TensorDesc, packed or not."""
    shape: list[int] = []
    for number, value in fields(tensor_description):
        if number == 2:
            shape += unpack_varints(value) if isinstance(value, bytes) else [value]
    return [signed(each) for each in shape]


def _messages(content: bytes, wanted: int) -> list[bytes]:
    return [v for number, v in fields(content) if number == wanted and isinstance(v, bytes)]


def _operator(content: bytes) -> Operator:
    kinds = [value.decode() for value in _messages(content, 3)]
    kind = kinds[0] if kinds else ""
    kind = _KINDS.get(kind, kind)
    inputs: dict[str, str] = {}
    for parameter, arguments in map(_slot, _messages(content, 1)):
        if arguments:
            inputs[_INPUTS.get((kind, parameter), parameter.lower())] = arguments[0]
    outputs = dict(map(_slot, _messages(content, 2)))
    output = next((outputs[name][0] for name in _OUTPUTS if outputs.get(name)), "")
    attributes = dict(map(_attribute, _messages(content, 4)))
    if kind == "dropout":
        attributes["mode"] = attributes.get("dropout_implementation", "downgrade_in_infer")
        attributes["p"] = attributes.get("dropout_prob", 0.5)
    return Operator(kind, inputs, output, attributes)


def _slot(content: bytes) -> tuple[str, list[str]]:
    name = "".join(value.decode() for value in _messages(content, 1))
    return name, [value.decode() for value in _messages(content, 2)]


def _attribute(content: bytes) -> tuple[str, Any]:
    """OpDesc.Attr: name (1), i (3), f (4), s (5), ints (6), b (10)."""
    name = ""
    found: Any = None
    numbers: list[int] = []
    for number, value in fields(content):
        if number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif number == 3 and isinstance(value, int):
            found = signed(value)
        elif number == 4 and isinstance(value, bytes):
            found = struct.unpack("<f", value)[0]
        elif number == 5 and isinstance(value, bytes):
            found = value.decode(errors="replace")
        elif number == 6:
            numbers += unpack_varints(value) if isinstance(value, bytes) else [value]
        elif number == 10:
            found = bool(value)
    return name, [signed(each) for each in numbers] if numbers else found
