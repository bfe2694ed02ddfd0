"""The networks that pplcnet knows, as rows; no framework is imported here.

Parameters and multiply-accumulates are facts of the network definition at 1000 classes and
224x224; `tests/conformance` builds every row and compares. Reported accuracies are ImageNet-1k
validation figures published by PaddleClas for its own weights (docs/en/models/PP-LCNet_en.md).
"""

from __future__ import annotations

from typing import NamedTuple

from pplcnet.errors import UnknownNameError

__all__ = ["CATALOG", "Network", "find"]


class Network(NamedTuple):
    """One row: what is needed to build a network, and what is known about it."""

    name: str
    family: str
    scale: float
    parameters: int
    """Trainable parameters with 1000 classes."""
    macs_224: int
    """Multiply-accumulates of convolutions and fully connected layers, one 224x224 image."""
    reported_top1: float
    """ImageNet-1k validation accuracy of the official weights, a fraction."""
    reported_top5: float
    reference_name: str
    """The network's name in the original repository."""


_ROWS = (
    #        name            family    scale  parameters     macs_224   top1    top5
    Network(
        "pplcnet_x0_25", "pplcnet", 0.25, 1_521_184, 16_773_440, 0.5186, 0.7565, "PPLCNet_x0_25"
    ),
    Network(
        "pplcnet_x0_35", "pplcnet", 0.35, 1_643_090, 27_357_832, 0.5809, 0.8083, "PPLCNet_x0_35"
    ),
    Network("pplcnet_x0_5", "pplcnet", 0.5, 1_879_576, 44_731_008, 0.6314, 0.8466, "PPLCNet_x0_5"),
    Network(
        "pplcnet_x0_75", "pplcnet", 0.75, 2_357_008, 94_786_496, 0.6818, 0.8830, "PPLCNet_x0_75"
    ),
    Network("pplcnet_x1_0", "pplcnet", 1.0, 2_952_520, 155_700_480, 0.7132, 0.9003, "PPLCNet_x1_0"),
    Network("pplcnet_x1_5", "pplcnet", 1.5, 4_499_832, 334_188_416, 0.7371, 0.9153, "PPLCNet_x1_5"),
    Network("pplcnet_x2_0", "pplcnet", 2.0, 6_521_512, 580_194_816, 0.7518, 0.9227, "PPLCNet_x2_0"),
    Network("pplcnet_x2_5", "pplcnet", 2.5, 9_017_560, 893_719_680, 0.7660, 0.9300, "PPLCNet_x2_5"),
)

CATALOG: dict[str, Network] = {row.name: row for row in _ROWS}


def find(name: str) -> Network:
    """The row called `name`; UnknownNameError suggests the nearest when there is none."""
    try:
        return CATALOG[name]
    except KeyError:
        raise UnknownNameError("network", name, CATALOG) from None
