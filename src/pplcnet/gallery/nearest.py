"""Exact nearest-neighbour search in blocks: memory does not grow with the number of vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Nearest", "Vectors", "best_of", "best_of_own_and_others", "nearest"]

Vectors = NDArray[np.float16] | NDArray[np.float32]

# Bytes of a float32 block: it stays in the processor's caches during the multiplication.
BLOCK_BYTES = 8 << 20
# Queries compared with a block at once.
QUERIES = 256


class Nearest(NamedTuple):
    """The rows most similar to each query, best first."""

    rows: NDArray[np.int64]
    """(Q, K) row numbers, counted across all parts."""
    similarities: NDArray[np.float32]
    """(Q, K) dot products; cosines for vectors of length 1."""


def nearest(parts: Sequence[Vectors], queries: NDArray[np.float32], count: int) -> Nearest:
    """The `count` most similar rows, or fewer if there are fewer. Ties go to the first row.

    Args:
        parts: (N, D) arrays, in memory or mapped from files.
        queries: (Q, D).
        count: at least 1.
    """
    found = [
        _nearest(parts, queries[at : at + QUERIES], count) for at in range(0, len(queries), QUERIES)
    ]
    most = min(count, sum(map(len, parts)))
    empty = Nearest(np.empty((0, most), np.int64), np.empty((0, most), np.float32))
    rows, similarities = zip(*(found or [empty]), strict=True)
    return Nearest(np.concatenate(rows), np.concatenate(similarities))


def _nearest(parts: Sequence[Vectors], queries: NDArray[np.float32], count: int) -> Nearest:
    rows = np.empty((len(queries), 0), np.int64)
    similarities = np.empty((len(queries), 0), np.float32)
    for start, block in _blocks(parts):
        found = np.ascontiguousarray((block @ queries.T).T)
        own = np.broadcast_to(np.arange(start, start + len(block)), found.shape)
        if found.shape[1] > count:
            # Most blocks hold nothing better than the matches so far.
            if similarities.shape[1] == count and (found.max(axis=1) <= similarities[:, -1]).all():
                continue
            chosen = np.argpartition(-found, count - 1, axis=1)[:, :count]
            own = np.take_along_axis(own, chosen, axis=1)
            found = np.take_along_axis(found, chosen, axis=1)
        rows, similarities = best_of(
            np.concatenate([rows, own], axis=1),
            np.concatenate([similarities, found], axis=1),
            count,
        )
    return Nearest(rows, similarities)


def best_of(rows: NDArray[np.int64], similarities: NDArray[np.float32], count: int) -> Nearest:
    """The `count` best columns of each line, best first; ties go to the first row."""
    order = np.lexsort((rows, -similarities))[:, :count]
    return Nearest(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarities, order, axis=1)
    )


def best_of_own_and_others(
    parts: Sequence[Vectors], classes: NDArray[np.int32], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Similarities of rows to the nearest other row of their class, and of any other class.

    Args:
        parts: (N, D) arrays.
        classes: (N,) for the rows of all parts.
        chosen: (Q,) rows.

    Returns:
        (Q,) each; -inf where there is no such row.
    """
    found = [
        _own_and_others(parts, classes, chosen[at : at + QUERIES])
        for at in range(0, len(chosen), QUERIES)
    ]
    own, others = zip(*found, strict=True)
    return np.concatenate(own), np.concatenate(others)


def _own_and_others(
    parts: Sequence[Vectors], classes: NDArray[np.int32], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    ends = np.cumsum([len(part) for part in parts])
    queries = np.stack(
        [
            parts[at][row - (ends[at - 1] if at else 0)]
            for row, at in zip(chosen, np.searchsorted(ends, chosen, "right"), strict=True)
        ]
    ).astype(np.float32)
    best = np.full((2, len(chosen)), -np.inf, np.float32)
    for start, block in _blocks(parts):
        similarities = block @ queries.T
        inside = (chosen >= start) & (chosen < start + len(block))
        similarities[chosen[inside] - start, np.flatnonzero(inside)] = -np.inf
        is_own = classes[start : start + len(block), None] == classes[chosen]
        for at, mask in enumerate((is_own, ~is_own)):
            masked = np.where(mask, similarities, np.float32(-np.inf))
            np.maximum(best[at], masked.max(axis=0), out=best[at])
    return best[0], best[1]


def _blocks(parts: Sequence[Vectors]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row of each block, and the block, which the next one overwrites."""
    start = 0
    for part in parts:
        rows = max(1, BLOCK_BYTES // (4 * part.shape[1]))
        buffer = None
        if part.dtype != np.float32:
            buffer = np.empty((min(rows, len(part)), part.shape[1]), np.float32)
        for at in range(0, len(part), rows):
            block = part[at : at + rows]
            if buffer is not None:
                np.copyto(buffer[: len(block)], block)
                block = buffer[: len(block)]
            yield start + at, np.asarray(block)
        start += len(part)
