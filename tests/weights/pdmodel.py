"""Write a PP-LCNet x0.25 as Paddle 2 does: `.pdmodel` (framework.proto) and `.pdiparams`.

An encoder of its own, so that the reader is not tested against itself. Field numbers are those of
Paddle's framework.proto.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from pplcnet.models.pplcnet import STAGES


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _tensor(shape: tuple[int, ...]) -> bytes:
    return _number(1, 5) + b"".join(_number(2, side) for side in shape)


def _variable(name: str, shape: tuple[int, ...], persistable: bool) -> bytes:
    kind = _number(1, 7) + _message(3, _message(1, _tensor(shape)))
    return _message(3, _message(1, name) + _message(2, kind) + _number(3, int(persistable)))


def _operator(kind: str, inputs: dict, outputs: dict, attributes: bytes = b"") -> bytes:
    slots = b"".join(
        _message(field, _message(1, role) + _message(2, name))
        for field, named in ((1, inputs), (2, outputs))
        for role, name in named.items()
    )
    return _message(4, slots + _message(3, kind) + attributes)


def _ints(name: str, values: tuple[int, ...]) -> bytes:
    content = _message(1, name) + _number(2, 3) + b"".join(_number(6, v) for v in values)
    return _message(4, content)


class _Program:
    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.content = _variable("x", (-1, 3, 224, 224), persistable=False)
        self.content += b"".join(
            _variable(key, value.shape, persistable=True) for key, value in tensors.items()
        )
        self.content += _operator("feed", {"X": "feed"}, {"Out": "x"})
        self.at, self.count = "x", 0

    def add(self, kind: str, inputs: dict, output: str = "Out", attributes: bytes = b"") -> None:
        self.count += 1
        result = f"tmp_{self.count}"
        self.content += _operator(kind, inputs, {output: result}, attributes)
        self.at = result

    def conv(self, path: str, stride: int = 1) -> None:
        depthwise = "dw_conv" in path
        self.add(
            "depthwise_conv2d" if depthwise else "conv2d",
            {"Input": self.at, "Filter": f"{path}.weight"},
            "Output",
            _ints("strides", (stride, stride)),
        )
        if f"{path}.bias" in self.tensors:
            self.add("elementwise_add", {"X": self.at, "Y": f"{path}.bias"})

    def norm(self, path: str) -> None:
        roles = {"Scale": "weight", "Bias": "bias", "Mean": "_mean", "Variance": "_variance"}
        inputs = {"X": self.at} | {role: f"{path}.{part}" for role, part in roles.items()}
        self.add("batch_norm", inputs, "Y")
        self.add("hard_swish", {"X": self.at})


def write_pdmodel(path: Path | None, tensors: dict[str, np.ndarray]) -> Path | bytes:
    """Write both files and return the program's path; without a path, the program's bytes."""
    program = _Program(tensors)
    if "conv1.conv.weight" in tensors:
        program.conv("conv1.conv", 2)
        program.norm("conv1.bn")
        for stage, blocks in STAGES:
            for index, block in enumerate(blocks):
                at = f"{stage}.{index}"
                program.conv(f"{at}.dw_conv.conv", 2 if index == 0 and stage != "blocks2" else 1)
                program.norm(f"{at}.dw_conv.bn")
                if block.has_squeeze_excite:
                    before = program.at
                    program.add("pool2d", {"X": program.at})
                    program.conv(f"{at}.se.conv1")
                    program.add("relu", {"X": program.at})
                    program.conv(f"{at}.se.conv2")
                    program.add("hard_sigmoid", {"X": program.at})
                    program.add("elementwise_mul", {"X": before, "Y": program.at})
                program.conv(f"{at}.pw_conv.conv")
                program.norm(f"{at}.pw_conv.bn")
        program.add("pool2d", {"X": program.at})
        program.conv("last_conv")
        program.add("hard_swish", {"X": program.at})
        rate = _message(1, "dropout_prob") + _number(2, 1) + _varint(4 << 3 | 5)
        mode = _message(1, "dropout_implementation") + _number(2, 2)
        program.add(
            "dropout",
            {"X": program.at},
            "Out",
            _message(4, rate + struct.pack("<f", 0.2))
            + _message(4, mode + _message(5, "downgrade_in_infer")),
        )
        program.add("flatten_contiguous_range", {"X": program.at})
        program.add("matmul_v2", {"X": program.at, "Y": "fc.weight"})
        program.add("elementwise_add", {"X": program.at, "Y": "fc.bias"})
    content = _message(1, _number(1, 0) + program.content)
    if path is None:
        return content
    path.write_bytes(content)
    parameters = b""
    for key in sorted(tensors):
        described = _tensor(tensors[key].shape)
        parameters += struct.pack("<IQIi", 0, 0, 0, len(described)) + described
        parameters += tensors[key].astype("<f4").tobytes()
    path.with_suffix(".pdiparams").write_bytes(parameters)
    return path
