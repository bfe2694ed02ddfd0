"""Boundary F1, against a comparison of all pairs of pixels."""

from __future__ import annotations

import numpy as np

from pplcnet.data.masks import IGNORED
from pplcnet.tasks.segmentation.boundaries import border_counts, border_f1, reach_of


def _blobs(seed: int, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 3, (8, 8)).astype(np.uint8)
    rows, columns = (np.arange(length) * 8 // length for length in size)
    return coarse[rows][:, columns]


def _border_pixels(classes: np.ndarray, label: int) -> np.ndarray:
    places = []
    height, width = classes.shape
    for y in range(height):
        for x in range(width):
            beside = [
                int(classes[y + dy, x + dx])
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
                if 0 <= y + dy < height and 0 <= x + dx < width
            ]
            if classes[y, x] == label and any(each not in (label, IGNORED) for each in beside):
                places.append((y, x))
    return np.array(places).reshape(-1, 2)


def test_counts_are_those_of_all_pairs_of_border_pixels() -> None:
    truth, answer = _blobs(0), np.roll(_blobs(0), (1, 2), (0, 1))
    truth[10:20, 30:50] = IGNORED
    counts = border_counts(truth, answer, 4)
    seen = np.where(truth == IGNORED, truth, answer)
    reach = reach_of(truth.shape)
    assert reach == 1
    for label in range(4):
        borders = [_border_pixels(each, label) for each in (seen, truth)]
        for at, (some, others) in enumerate((borders, borders[::-1])):
            distance = ((some[:, None] - others[None]) ** 2).sum(-1)
            near = (distance <= reach**2).any(axis=1).sum() if len(others) else 0
            assert counts[label, 2 * at : 2 * at + 2].tolist() == [len(some), near]


def test_a_border_may_be_off_by_a_share_of_the_diagonal() -> None:
    truth = np.zeros((300, 400), np.uint8)
    truth[:, 200:] = 1
    assert reach_of(truth.shape) == 4
    for shift, f1 in ((0, 1.0), (4, 1.0), (5, 0.0)):
        answer = np.zeros_like(truth)
        answer[:, 200 + shift :] = 1
        assert border_f1(border_counts(truth, answer, 2)) == [f1, f1]


def test_a_class_without_a_border_has_no_f1() -> None:
    whole = np.zeros((20, 20), np.uint8)
    half = whole.copy()
    half[:10] = 1
    assert border_f1(border_counts(whole, half, 2)) == [None, None]
    assert border_f1(border_counts(half, whole, 2)) == [0, 0]
