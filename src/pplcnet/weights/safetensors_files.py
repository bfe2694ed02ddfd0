"""Read `.safetensors`, what timm and transformers publish: a JSON header, then the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pplcnet.errors import WeightsError, require
from pplcnet.weights.limits import read_file

__all__ = ["read_safetensors"]

# A network of 1000 tensors has 100 kB; the library alone would take up to 100 MB of JSON.
HEADER_LIMIT = 4 << 20


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Tensor name to array; WeightsError when the file is missing, damaged or not plain numbers."""
    content = read_file(path)
    header = int.from_bytes(content[:8], "little")
    if header > HEADER_LIMIT:
        raise WeightsError(
            f"{path}: not a readable .safetensors file (a header of {header:,} bytes)."
        )
    numpy_reader = require("safetensors.numpy", purpose="reading .safetensors", extra="train")
    try:
        return dict(numpy_reader.load(content))
    except Exception as error:  # its own error class, and numpy's for types that numpy has not
        raise WeightsError(f"{path}: not a readable .safetensors file ({error}).") from error
