"""Contours: nested closed curves made of a few sine waves, with one set of waves per class.

After RCDB (Kataoka et al. 2022, "Replacing Labeled Real-image Datasets with Auto-generated
Contours", arXiv 2206.09132) and VisualAtom (Takashima et al. 2023, "Visual Atoms", arXiv
2303.01112): the curve is an ellipse whose radius `1 + sum(amplitude * sin(frequency * angle +
phase))` waves. Here the curves bound filled bands, so that a picture has surfaces as well as lines.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.pretraining.drawing import draw_in_parts

__all__ = ["Contours", "draw_contours", "draw_pictures"]

WAVES = 3
FREQUENCIES = (1, 14)
BANDS = (1, 7)
JITTER = 0.1


class Contours(NamedTuple):
    """The parameters of every class's curves."""

    frequencies: NDArray[np.int64]
    """(classes, WAVES): full waves per turn."""
    amplitudes: NDArray[np.float64]
    """(classes, WAVES): relative to the radius."""
    phases: NDArray[np.float64]
    """(classes, WAVES)"""
    bands: NDArray[np.int64]
    """(classes,): the number of nested curves."""
    twist: NDArray[np.float64]
    """(classes,): the angle by which the innermost curve is rotated against the outermost."""
    shades: NDArray[np.float64]
    """(classes, BANDS[1]): shades of the bands, 0.25 to 1."""


def draw_contours(count: int, generator: np.random.Generator) -> Contours:
    """Draw the parameters of `count` classes of contours."""
    amplitudes = generator.uniform(0.05, 0.4, (count, WAVES))
    amplitudes /= np.maximum(1, amplitudes.sum(axis=1, keepdims=True) / 0.7)
    return Contours(
        generator.integers(FREQUENCIES[0], FREQUENCIES[1] + 1, (count, WAVES)),
        amplitudes,
        generator.uniform(0, 2 * np.pi, (count, WAVES)),
        generator.integers(BANDS[0], BANDS[1] + 1, count),
        generator.uniform(-1, 1, count) * (generator.random(count) < 0.5),
        generator.uniform(0.25, 1, (count, BANDS[1])),
    )


def draw_pictures(
    contours: Contours, pictures: int, side: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Pictures (classes, pictures, side, side): 0 outside, else the band's shade, 64 to 255."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    radius = np.hypot(axis[:, None], axis[None])
    angle = np.arctan2(axis[:, None], axis[None])

    def draw(members: NDArray[np.int64]) -> NDArray[np.uint8]:
        count = len(members)
        amplitudes = contours.amplitudes[members]
        amplitudes = amplitudes * generator.uniform(1 - JITTER, 1 + JITTER, amplitudes.shape)
        phases = contours.phases[members] + generator.normal(0, JITTER, amplitudes.shape)
        largest = 1 + amplitudes.sum(axis=1)
        turned = angle + radius * contours.twist[members][:, None, None]
        curve = np.ones((count, side, side), np.float32)
        for wave in range(WAVES):
            frequency = contours.frequencies[members, wave][:, None, None]
            curve += amplitudes[:, wave, None, None] * np.sin(
                frequency * turned + phases[:, wave, None, None], dtype=np.float32
            )
        depth = radius * largest[:, None, None] / curve
        bands = contours.bands[members][:, None, None]
        band = np.minimum(depth * bands, BANDS[1] - 1).astype(np.int64)
        shade = contours.shades[members[:, None, None], band]
        return np.where(depth < 1, shade * 255, 0).astype(np.uint8)

    return draw_in_parts(len(contours.bands), pictures, side, draw)
