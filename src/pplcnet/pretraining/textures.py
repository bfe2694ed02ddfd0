"""Textures: random noise with a class-specific spectrum, transformed by a class-specific function.

Noise of a given spectrum as a source of features is from Baradad et al. 2021 ("Learning to See by
Looking at Noise", arXiv 2106.05963); marble and ridges are from Perlin 1985 ("An image
synthesizer").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Textures", "draw_pictures", "draw_smooth", "draw_textures"]

BENDS = 5


class Textures(NamedTuple):
    """The spectrum and function of every class."""

    frequency: NDArray[np.float64]
    """(classes,): the strongest frequency, in waves per picture; 0 for a falling spectrum."""
    width: NDArray[np.float64]
    """(classes,): width of the spectrum's ring, relative to its frequency."""
    slope: NDArray[np.float64]
    """(classes,): without a ring, amplitude falls as frequency to minus this power."""
    stretch: NDArray[np.float64]
    """(classes,): the ratio of a pattern's length to its width."""
    bend: NDArray[np.int64]
    """(classes,): which function is applied: none, ridges, marble, steps, spots."""


def draw_textures(count: int, generator: np.random.Generator) -> Textures:
    """Draw the parameters of `count` classes of textures."""
    has_ring = generator.random(count) < 0.6
    return Textures(
        np.where(has_ring, np.exp(generator.uniform(np.log(3), np.log(20), count)), 0),
        generator.uniform(0.05, 0.5, count),
        generator.uniform(0.8, 2.4, count),
        np.exp(generator.uniform(0, np.log(6), count) * (generator.random(count) < 0.6)),
        generator.integers(0, BENDS, count),
    )


def draw_smooth(count: int) -> Textures:
    """The parameters of a smooth texture without edges, repeated `count` times."""
    zeros, ones = np.zeros(count), np.ones(count)
    return Textures(zeros, ones, 2.4 * ones, ones, zeros.astype(np.int64))


def draw_pictures(
    textures: Textures, pictures: int, side: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Pictures (classes, pictures, side, side), 64 to 255, filled by a texture that tiles."""
    count = len(textures.bend)
    drawn = np.empty((count, pictures, side, side), np.uint8)
    rows, columns = np.fft.fftfreq(side)[:, None] * side, np.fft.rfftfreq(side)[None] * side
    for at in range(count):
        across = np.sqrt(textures.stretch[at])
        radius = np.hypot(rows / across, columns * across) + 1e-3
        if textures.frequency[at]:
            centre = textures.frequency[at]
            spectrum = np.exp(-(((radius - centre) / (centre * textures.width[at])) ** 2) / 2)
        else:
            spectrum = np.maximum(radius, 1) ** -textures.slope[at]
        spectrum[0, 0] = 0
        noise = generator.standard_normal((pictures, side, side), dtype=np.float32)
        field = np.fft.irfft2(np.fft.rfft2(noise) * spectrum, s=(side, side))
        field /= field.std(axis=(1, 2), keepdims=True) + 1e-9
        drawn[at] = (64 + 191 * _bent(field, int(textures.bend[at]))).astype(np.uint8)
    return drawn


def _bent(field: NDArray[np.float64], bend: int) -> NDArray[np.float64]:
    """Maps a field of standard deviation 1 to values from 0 to 1."""
    if bend == 1:
        return 1 - np.minimum(np.abs(field) / 1.5, 1)
    if bend == 2:
        return 0.5 + 0.5 * np.sin(4 * field)
    if bend == 3:
        return np.clip(np.floor(field * 1.5) / 4 + 0.5, 0, 1)
    if bend == 4:
        return 1 / (1 + np.exp(-8 * (field - 0.8)))
    return np.clip(field / 5 + 0.5, 0, 1)
