"""An estimate of what training on few photos reaches, from the project's own benchmark.

`reached.csv` is written by `benchmarks/small_data.py --table`: top-1 on test photos of several
small data sets, by network, start and photos per class.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

from pplcnet.models import catalog
from pplcnet.recipe.starts import FRACTAL, has_seen_formulas

__all__ = ["Reached", "describe_reached", "reached_with", "read_reached"]

FACTOR = 4
"""No estimate is given if the photos per class are further from the benchmark's than this."""


class Reached(NamedTuple):
    """A row of the table."""

    network: str
    weights: str
    """none, fractal, or weights for any other."""
    photos_a_class: int
    epochs: int
    runs: int
    mean: float
    lowest: float
    highest: float


def read_reached() -> list[Reached]:
    """The rows of the table that comes with pplcnet."""
    text = resources.files("pplcnet.training").joinpath("reached.csv").read_text("utf-8")
    return [
        Reached(
            row["network"],
            row["weights"],
            *(int(row[name]) for name in ("photos_a_class", "epochs", "runs")),
            *(float(row[name]) for name in ("mean", "lowest", "highest")),
        )
        for row in csv.DictReader(text.splitlines())
    ]


def reached_with(
    network: str, weights: str | None, photos_a_class: float, rows: Sequence[Reached]
) -> Reached | None:
    """The row nearest to a training; None if none is near.

    It has the same network family and the same kind of start, then the nearest scale, then the
    nearest number of photos.
    """
    row = catalog.CATALOG.get(network)
    if row is None:  # a detector, and the rows are of classifiers
        return None
    start = "none" if weights is None else FRACTAL if has_seen_formulas(weights) else "weights"
    near = [
        each
        for each in rows
        if catalog.find(each.network).family == row.family
        and each.weights == start
        and 1 / FACTOR <= each.photos_a_class / max(photos_a_class, 1e-9) <= FACTOR
    ]

    def distance(each: Reached) -> tuple[float, float]:
        scale = catalog.find(each.network).scale / row.scale
        return abs(math.log(scale)), abs(math.log(each.photos_a_class / photos_a_class))

    return min(near, key=distance, default=None)


def describe_reached(reached: Reached) -> str:
    """The row as one line of text."""
    start = {"none": "from scratch", "weights": "from pretrained weights"}.get(
        reached.weights, f"from {reached.weights} weights"
    )
    return (
        f"estimate: {reached.network} {start} with {reached.photos_a_class} photos a class reached "
        f"top-1 {reached.lowest:.2f} to {reached.highest:.2f} on the benchmark's small data sets "
        f"({reached.epochs} epochs); yours may be easier or harder"
    )
