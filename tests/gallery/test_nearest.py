"""Search in blocks finds what a search over everything finds."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.gallery import nearest as module
from pplcnet.gallery.nearest import best_of_own_and_others, nearest
from pplcnet.runtime.embedding import unit_length


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 8 * 7)  # 7 rows of 8 numbers
    monkeypatch.setattr(module, "QUERIES", 3)


def _vectors(count: int, seed: int = 0) -> np.ndarray:
    return unit_length(np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32))


@pytest.mark.parametrize("count", [1, 3, 10, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_blocks_find_what_a_whole_search_finds(count: int, dtype: type) -> None:
    parts = [_vectors(rows, rows).astype(dtype) for rows in (20, 1, 33)]
    queries = _vectors(8, 99)
    found = nearest(parts, queries, count)
    similarities = queries @ np.concatenate(parts).astype(np.float32).T
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    assert found.rows.shape == (8, min(count, 54))
    np.testing.assert_array_equal(found.rows, order)
    expected = np.take_along_axis(similarities, order, axis=1)
    np.testing.assert_allclose(found.similarities, expected, atol=1e-6)


def test_of_equal_rows_the_first_come_first() -> None:
    same = np.tile(_vectors(1), (30, 1))
    found = nearest([same[:11], same[11:]], same[:1], 4)
    assert found.rows.tolist() == [[0, 1, 2, 3]]


def test_no_query_is_no_answer() -> None:
    found = nearest([_vectors(9)], np.empty((0, 8), np.float32), 4)
    assert found.rows.shape == found.similarities.shape == (0, 4)


def test_own_and_others_leave_out_the_row_itself() -> None:
    vectors = _vectors(40)
    labels = np.random.default_rng(1).integers(0, 3, 40).astype(np.int32)
    labels[5] = 3  # alone in its class
    chosen = np.array([0, 5, 6, 7, 39])
    own, others = best_of_own_and_others([vectors[:13], vectors[13:]], labels, chosen)
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    for at, row in enumerate(chosen):
        is_own = labels == labels[row]
        assert own[at] == pytest.approx(similarities[row, is_own].max(), abs=1e-6)
        assert others[at] == pytest.approx(similarities[row, ~is_own].max(), abs=1e-6)
    assert own[1] == -np.inf
