"""Images that look alike: perceptual hashes, and the search for pairs among many of them.

An image that was saved again, smaller, brighter or in grey is another file with other pixels, but
the same image. Its perceptual hash (pHash, from the library imagehash: the signs of the lowest
frequencies of a cosine transform relative to their median) stays nearly the same.

Two hashes are compared. 64 bits are enough for the search but too few for the decision: images of
one kind, such as shirts laid out on the same table, can be as close as 4 bits. 256 bits of the
same transform tell these apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import require

__all__ = [
    "COARSE_DISTANCE",
    "FINE_DISTANCE",
    "HASHED_SIDE",
    "WORDS",
    "Nearest",
    "fingerprint",
    "group_similar",
    "nearest",
    "stacked",
]

COARSE_DISTANCE = 8
"""In bits of 64; pairs within it are compared by the fine hash."""
FINE_DISTANCE = 32
"""In bits of 256; pairs within it are near-duplicates. On images of clothing, it covers smaller
copies, JPEG quality 30, a third brighter, grey, and a crop of 1 % on each side; a crop of 3 %
is outside, and so is another image of the same thing (`benchmarks/near_duplicates.py`)."""
WORDS = 5
"""A fingerprint is (5,) uint64: the coarse hash in the first word, the fine one in the others."""

# Images are reduced to just above this before hashing: 12 megapixels need not go through a Lanczos
# filter to become 64 by 64.
HASHED_SIDE = 128
# Rows and columns of one block of the search: its 2 million distances stay in the caches.
ROWS, COLUMNS = 256, 8192


def fingerprint(image: Image.Image) -> NDArray[np.uint64]:
    """The coarse and the fine pHash of an upright image, (5,) uint64.

    Raises:
        MissingDependencyError: imagehash is not installed.
    """
    imagehash = require("imagehash", purpose="finding near-duplicates", extra="report")
    factor = min(image.size) // HASHED_SIDE
    smaller = image.reduce(factor) if factor > 1 else image
    bits = [imagehash.phash(smaller, hash_size=side).hash.ravel() for side in (8, 16)]
    return np.packbits(np.concatenate(bits)).view(np.uint64)


def group_similar(
    prints: NDArray[np.uint64],
    *,
    coarse: int = COARSE_DISTANCE,
    fine: int = FINE_DISTANCE,
) -> list[NDArray[np.intp]]:
    """Groups of near-duplicates: each image is close to at least one other in its group.

    All pairs are compared, in blocks so that memory does not grow with their number: 100,000 images
    are five billion pairs.

    Args:
        prints: (N, 5) uint64, fingerprints.
        coarse: largest distance of the coarse hashes, in bits of 64.
        fine: largest distance of the fine hashes, in bits of 256.

    Returns:
        Ascending indices of each group of two or more, ordered by their first.
    """
    distinct, place = np.unique(prints, axis=0, return_inverse=True)
    place = place.reshape(-1)
    parents = np.arange(len(distinct))
    for rows, columns, _ in _near(distinct, distinct, coarse, fine, is_same=True):
        _join(parents, rows, columns)
    roots = _roots(parents)[place]
    order = np.argsort(roots, kind="stable")
    borders = np.nonzero(np.diff(roots[order]))[0] + 1
    groups = [group for group in np.split(order, borders) if len(group) > 1]
    return sorted(groups, key=lambda group: int(group[0]))


class Nearest(NamedTuple):
    """For each image, the most similar one among others."""

    place: NDArray[np.intp]
    """(N,) index into the others; -1 if none is close."""
    distance: NDArray[np.int64]
    """(N,) number of the 256 bits in which the fine hashes differ; 257 if none is close."""


def nearest(
    prints: NDArray[np.uint64],
    others: NDArray[np.uint64],
    *,
    coarse: int = COARSE_DISTANCE,
    fine: int = FINE_DISTANCE,
) -> Nearest:
    """For each of `prints` (N, 5), the most similar of `others` (M, 5) if one is close."""
    place = np.full(len(prints), -1, np.intp)
    distance = np.full(len(prints), 257, np.int64)
    for rows, columns, distances in _near(prints, others, coarse, fine, is_same=False):
        # The smallest distance is written last, so it stays.
        order = np.argsort(-distances, kind="stable")
        rows, columns, distances = rows[order], columns[order], distances[order]
        closer = distances < distance[rows]
        distance[rows[closer]] = distances[closer]
        place[rows[closer]] = columns[closer]
    return Nearest(place, distance)


def stacked(prints: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The fingerprints as one (N, 5) array; N may be 0."""
    return np.stack(prints) if prints else np.empty((0, WORDS), np.uint64)


def _near(
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    coarse: int,
    fine: int,
    *,
    is_same: bool,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]]:
    """Rows, columns and fine distances of close pairs, one block at a time.

    With `is_same`, only pairs whose row precedes their column.
    """
    keys, other_keys = np.ascontiguousarray(first[:, 0]), np.ascontiguousarray(second[:, 0])
    differing = np.empty((ROWS, COLUMNS), np.uint64)
    counts = np.empty((ROWS, COLUMNS), np.uint8)
    for top in range(0, len(keys), ROWS):
        row_keys = keys[top : top + ROWS, np.newaxis]
        for left in range(top if is_same else 0, len(other_keys), COLUMNS):
            column_keys = other_keys[np.newaxis, left : left + COLUMNS]
            shape = np.s_[: row_keys.shape[0], : column_keys.shape[1]]
            np.bitwise_xor(row_keys, column_keys, out=differing[shape])
            np.bitwise_count(differing[shape], out=counts[shape])
            rows, columns = np.nonzero(counts[shape] <= coarse)
            rows, columns = rows + top, columns + left
            if is_same:
                ahead = rows < columns
                rows, columns = rows[ahead], columns[ahead]
            bits = np.bitwise_count(first[rows, 1:] ^ second[columns, 1:]).sum(axis=1, dtype=int)
            near = bits <= fine
            if near.any():
                yield rows[near], columns[near], bits[near]


def _join(parents: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
    """Merge the sets of each pair (a forest in which every parent precedes its children)."""
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        ends = []
        for each in (row, column):
            while parents[each] != each:
                parents[each] = parents[parents[each]]
                each = parents[each]
            ends.append(each)
        parents[max(ends)] = min(ends)


def _roots(parents: NDArray[np.intp]) -> NDArray[np.intp]:
    """The root of each node, found by pointing to the grandparent until nothing changes."""
    while True:
        further = parents[parents]
        if (further == parents).all():
            return parents
        parents = further
