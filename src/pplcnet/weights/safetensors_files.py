"""Reads `.safetensors`, the format of timm and transformers: a JSON header, then the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pplcnet.errors import WeightsError, require
from pplcnet.weights.limits import read_file
from pplcnet.weights.pickles import shown

__all__ = ["read_safetensors"]

# A network of 1000 tensors has a header of 100 kB; the library itself accepts 100 MB of JSON.
HEADER_LIMIT = 4 << 20
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Arrays by tensor name; WeightsError if the file is missing, damaged or not plain numbers."""
    content = read_file(path)
    header = int.from_bytes(content[:8], "little")
    if header > HEADER_LIMIT:
        raise WeightsError(
            f"{path}: not a readable .safetensors file (its header has {header:,} bytes)."
        )
    library = require("safetensors", purpose="reading .safetensors", extra="train")
    try:
        return {name: _array(name, tensor) for name, tensor in library.deserialize(content)}
    except WeightsError as error:
        raise WeightsError(f"{path}: not accepted as weights: {error}") from error
    except Exception as error:  # its own error class, and numpy's for what numpy cannot hold
        raise WeightsError(f"{path}: not a readable .safetensors file ({error}).") from error


def _array(name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    kind, data, shape = tensor["dtype"], tensor["data"], tensor["shape"]
    if kind == "BF16":  # the upper half of a float32, which numpy does not know
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    if kind not in TYPES:
        raise WeightsError(
            f"the tensor {shown(name)} is of the type {shown(kind)}; floating-point numbers of 16 "
            "bits or more are read. Save it as float32."
        )
    return np.frombuffer(data, TYPES[kind]).reshape(shape)
