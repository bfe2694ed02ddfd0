"""Maps PaddleDetection's names of a detector's tensors to those that layers are named after."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from pplcnet.errors import WeightsError

__all__ = ["is_detector", "to_layer_names"]

BACKBONE = "backbone."
# Second names of the head's last convolutions, a factor that no layer reads, and the bin values,
# which are slightly off in some published files.
SECOND_NAME = re.compile(r"head\.(head_cls|head_reg)_list\.(\d+)\.(weight|bias)")
UNUSED = re.compile(r"head\.p\d_feat\.scale_reg|head\.distribution_project\.project")


def is_detector(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether these are the names of a whole detector."""
    return any(name.startswith(BACKBONE) for name in tensors) and any(
        name.startswith("head.") for name in tensors
    )


def to_layer_names(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors with the backbone under a classifier's names, without duplicates or unused ones.

    Raises:
        WeightsError: two names of one tensor have different values.
    """
    found: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if UNUSED.fullmatch(name):
            continue
        second = SECOND_NAME.fullmatch(name)
        name = "head.{}{}.{}".format(*second.groups()) if second else name
        name = name.removeprefix(BACKBONE)
        if name in found and not np.array_equal(found[name], tensor):
            raise WeightsError(f"its tensor {name} is there twice, with different values.")
        found[name] = tensor
    return found
