"""Fractals: attractors of random iterated function systems, one system per class.

After FractalDB (Kataoka et al. 2020, "Pre-training without Natural Images", arXiv 2101.08515); maps
are drawn by their singular values (Anderson and Farrell 2022, "Improving Fractal Pre-training",
arXiv 2110.03091), which makes every map a contraction by construction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.pretraining.drawing import draw_in_parts

__all__ = ["Systems", "draw_pictures", "draw_systems"]

MAPS = (2, 5)
"""The fewest and the most maps of a system."""
LARGEST_SINGULAR_VALUE = 0.9
SMALLEST_SHARE = 0.12
"""A system is accepted if its attractor covers this fraction of a RASTER x RASTER grid."""
RASTER = 48
JITTER = 0.06
"""The relative deviation of a picture's coefficients from those of its class."""
CHAINS = 600
STEPS_UNSEEN = 6
STEPS = 24
CANDIDATES = 64
"""Systems tried at a time."""


class Systems(NamedTuple):
    """Iterated function systems of at most MAPS[1] maps `x -> linear @ x + shift`."""

    linear: NDArray[np.float32]
    """(systems, maps, 2, 2)"""
    shift: NDArray[np.float32]
    """(systems, maps, 2)"""
    maps: NDArray[np.int64]
    """(systems,): the number of maps in use."""


def draw_systems(count: int, generator: np.random.Generator) -> Systems:
    """Draw `count` systems whose attractors are not too thin."""
    accepted: list[Systems] = []
    found = 0
    while found < count:
        candidates = _candidates(CANDIDATES, generator)
        hit = _rasterize(_points(candidates, generator, steps=8), RASTER) > 0
        is_good = hit.mean(axis=(1, 2)) > SMALLEST_SHARE
        accepted.append(Systems(*(values[is_good] for values in candidates)))
        found += int(is_good.sum())
    return Systems(*(np.concatenate(parts)[:count] for parts in zip(*accepted, strict=True)))


def draw_pictures(
    systems: Systems, pictures: int, side: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Pictures (systems, pictures, side, side): 0 off the attractor, else 64 to 255 by density."""

    def draw(members: NDArray[np.int64]) -> NDArray[np.uint8]:
        linear, shift = systems.linear[members], systems.shift[members]
        jittered = Systems(
            linear * generator.uniform(1 - JITTER, 1 + JITTER, linear.shape).astype(np.float32),
            shift * generator.uniform(1 - JITTER, 1 + JITTER, shift.shape).astype(np.float32),
            systems.maps[members],
        )
        counts = _rasterize(_points(jittered, generator, steps=STEPS), side)
        density = np.log1p(counts)
        density /= density.max(axis=(1, 2), keepdims=True)
        return np.where(counts > 0, 64 + 191 * density, 0).astype(np.uint8)

    return draw_in_parts(len(systems.maps), pictures, side, draw)


def _candidates(count: int, generator: np.random.Generator) -> Systems:
    shape = (count, MAPS[1])
    large = generator.uniform(0.3, LARGEST_SINGULAR_VALUE, shape)
    small = large * generator.uniform(0.2, 1.0, shape)
    scales = np.zeros((*shape, 2, 2))
    scales[..., 0, 0] = large
    scales[..., 1, 1] = small * generator.choice((-1.0, 1.0), shape)  # some maps mirror
    turns = _rotations(generator.uniform(0, 2 * np.pi, shape))
    linear = turns @ scales @ _rotations(generator.uniform(0, 2 * np.pi, shape))
    shift = generator.uniform(-1, 1, (*shape, 2))
    maps = generator.integers(MAPS[0], MAPS[1] + 1, count)
    return Systems(linear.astype(np.float32), shift.astype(np.float32), maps)


def _rotations(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def _points(systems: Systems, generator: np.random.Generator, *, steps: int) -> NDArray[np.float32]:
    """Points (systems, points, 2) by the chaos game (Barnsley 1988), with many chains per system.

    A map is chosen with a probability proportional to its determinant, which spreads points evenly.
    Chains start at the fixed point of a map, which is part of the attractor.
    """
    count, maps = systems.shift.shape[:2]
    weight = np.abs(np.linalg.det(systems.linear)) + 0.01
    weight *= np.arange(maps) < systems.maps[:, None]
    bounds = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    # The map for each value of a random byte.
    choice = (np.arange(256)[None, :, None] / 256 >= bounds[:, None]).sum(axis=2)
    choice += np.arange(count)[:, None] * maps
    table = np.concatenate([systems.linear.reshape(-1, 4), systems.shift.reshape(-1, 2)], axis=1)
    fixed = np.linalg.solve(np.eye(2, dtype=np.float32) - systems.linear[:, 0],
                            systems.shift[:, 0, :, None])[..., 0]  # fmt: skip
    x, y = (np.repeat(fixed[:, axis, None], CHAINS, axis=1) for axis in (0, 1))
    seen = np.empty((count, steps, CHAINS, 2), np.float32)
    rows = np.arange(count)[:, None]
    for step in range(-STEPS_UNSEEN, steps):
        chosen = choice[rows, generator.integers(0, 256, (count, CHAINS), np.uint8)]
        a, b, c, d, e, f = table[chosen].transpose(2, 0, 1)
        x, y = a * x + b * y + e, c * x + d * y + f
        if step >= 0:
            seen[:, step, :, 0], seen[:, step, :, 1] = x, y
    return seen.reshape(count, -1, 2)


def _rasterize(points: NDArray[np.float32], side: int) -> NDArray[np.int64]:
    """Histograms (pictures, side, side): how many of (pictures, points, 2) fall on each pixel."""
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    extent = (high - low).max(axis=2, keepdims=True) + 1e-6
    inside = (points - (low + high) / 2) / extent * (0.96 * side) + side / 2
    cells = inside.astype(np.int32)
    flat = cells[..., 1] * side + cells[..., 0]
    flat += (np.arange(len(points)) * side * side)[:, None].astype(np.int32)
    counts = np.bincount(flat.ravel(), minlength=len(points) * side * side)
    return counts.reshape(len(points), side, side)
