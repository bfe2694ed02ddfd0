"""The original networks' outputs, and the weights they were computed with.

`fill` is the rule that the reference outputs were made by (README of `../shared/reference`).
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pplcnet.models.catalog import CATALOG

INPUT_SEED = 20211


class Reference(NamedTuple):
    """One pair of NAME.json and NAME.npz."""

    name: str
    facts: dict[str, Any]
    outputs: dict[str, np.ndarray]

    @property
    def network(self) -> str:
        """The catalog's name; variants of PP-LCNet have a longer name of their own."""
        is_variant = self.name not in CATALOG
        return "_".join(self.name.split("_")[:3]) if is_variant else self.name

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of build_model that give the same network."""
        given = self.facts["kwargs"]
        options = {
            "num_classes": given["class_num"],
            "strides": given.get("stride_list"),
            "last_conv": given.get("use_last_conv", True),
        }
        return {key: value for key, value in options.items() if value is not None}

    @property
    def merged_parameters(self) -> int:
        """Parameters of convolutions that the training form computes from its branches."""
        tensors = self.facts["tensors"]
        return sum(
            int(np.prod(shape))
            for key, shape in tensors.items()
            if f"{key.rpartition('.')[0]}_list.0.conv.weight" in tensors
        )

    def weights(self) -> dict[str, np.ndarray]:
        """The original state dict, each tensor filled from its own name."""
        return {
            key: fill(key, tuple(shape)).astype("float32")
            for key, shape in self.facts["tensors"].items()
        }


@cache
def load(shared: Path, name: str) -> Reference:
    """Read one pair."""
    folder = shared / "reference"
    with np.load(folder / f"{name}.npz") as outputs:
        return Reference(name, json.loads((folder / f"{name}.json").read_text()), dict(outputs))


def fill(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor that belongs to a name."""
    generator = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("_variance"):
        return generator.uniform(0.5, 1.5, shape)
    if key.endswith("_mean"):
        return generator.standard_normal(shape) * 0.1
    if len(shape) == 1 and key.endswith((".bias", "_offset")):
        return generator.standard_normal(shape) * 0.1
    if len(shape) == 1:
        return generator.uniform(0.5, 1.5, shape)
    fan = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
    return generator.standard_normal(shape) * np.sqrt(2 / fan)


def images(height: int, width: int) -> np.ndarray:
    """The input of every check: (2, height, width, 3), already normalised."""
    generator = np.random.default_rng(INPUT_SEED)
    channels_first = generator.standard_normal((2, 3, height, width)).astype("float32")
    return channels_first.transpose(0, 2, 3, 1)


def relative_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """max|a - b| / max|b|."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())
