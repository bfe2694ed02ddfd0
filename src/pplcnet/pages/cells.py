"""The photos behind the counts of a table, for the script that shows them on a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.pages.pictures import thumbnails
from pplcnet.system.wording import counted

__all__ = ["IMAGES", "IMAGES_OF_MISTAKES", "IMAGES_OF_RIGHT", "Cell", "cell_values", "cells_data"]

Cell = tuple[int, int]
"""Row and column."""

IMAGES_OF_MISTAKES = 24
IMAGES_OF_RIGHT = 8
"""The maximum number of images of one cell in the page."""
IMAGES = 600
"""The maximum over all cells, which keeps a page below some megabytes."""


def cell_values(cell: Cell, count: int, *, of: int, is_right: bool, text: str) -> dict[str, Any]:
    """Values of a cell for the macro `counted`.

    Args:
        of: the count at which the cell gets its full colour.
        text: what is counted, for screen readers and as the heading of the photos.
    """
    return {
        "key": _key(cell),
        "count": count,
        "share": count / of,
        "is_right": is_right,
        "text": f"{text}: {counted(count, 'photo')}",
    }


def cells_data(
    dataset: Dataset,
    chosen: Mapping[Cell, Sequence[int]],
    counts: Mapping[Cell, int],
    probabilities: Mapping[Cell, NDArray[np.floating]],
) -> dict[str, Any]:
    """The data that `page.js` shows.

    Args:
        chosen: for each cell, indices of the images that are in the page, in order.
        counts: the number of all images of each cell.
        probabilities: for each cell, (N,): that of its answer, for all images of the data set.
    """
    places = {at: index for index, at in enumerate(dict.fromkeys(_joined(chosen)))}
    pictures = thumbnails((dataset.images[at].path for at in places), side=104)
    return {
        "photos": [
            {
                "name": dataset.name_of(dataset.images[at]),
                "picture": pictures.get(dataset.images[at].path),
            }
            for at in places
        ],
        "cells": {
            _key(cell): {
                "count": counts[cell],
                "photos": [places[at] for at in kept],
                "probabilities": [f"{probabilities[cell][at]:.3f}" for at in kept],
            }
            for cell, kept in chosen.items()
        },
    }


def _joined(chosen: Mapping[Cell, Sequence[int]]) -> list[int]:
    return [at for kept in chosen.values() for at in kept]


def _key(cell: Cell) -> str:
    return f"{cell[0]},{cell[1]}"
