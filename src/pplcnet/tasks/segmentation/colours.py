"""A colour for each class, as in Pascal VOC; the same in masks and overlays."""

from __future__ import annotations

from pplcnet.imaging.geometry import UNKNOWN

__all__ = ["colour_of", "palette"]


def colour_of(class_id: int) -> tuple[int, int, int]:
    """(red, green, blue) of a class: its bits spread over the three channels, low bits first.

    These are Pascal VOC's colours from the second on, as its first is black.
    """
    bits, red, green, blue = class_id + 1, 0, 0, 0
    for shift in range(7, -1, -1):
        red |= (bits & 1) << shift
        green |= (bits >> 1 & 1) << shift
        blue |= (bits >> 2 & 1) << shift
        bits >>= 3
    return red, green, blue


def palette() -> list[int]:
    """768 numbers for a palette image: the classes' colours; black for unknown."""
    entries = [colour_of(at) for at in range(UNKNOWN)]
    return [part for entry in [*entries, (0, 0, 0)] for part in entry]
