"""Connected regions of masks, against filling by hand."""

from __future__ import annotations

import numpy as np

from pplcnet.data.masks import IGNORED
from pplcnet.tasks.segmentation.regions import LEAST_PIXELS, regions_of


def _filled(truth: np.ndarray) -> list[tuple[int, int]]:
    """Class and pixels of each region, by a flood."""
    waiting, found = {*zip(*map(np.ndarray.tolist, np.nonzero(truth != IGNORED)), strict=True)}, []
    while waiting:
        stack = [waiting.pop()]
        label, pixels = int(truth[stack[0]]), 0
        while stack:
            y, x = stack.pop()
            pixels += 1
            for place in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if place in waiting and truth[place] == label:
                    waiting.remove(place)
                    stack.append(place)
        if pixels >= LEAST_PIXELS:
            found.append((label, pixels))
    return sorted(found)


def test_regions_are_those_of_a_flood() -> None:
    generator = np.random.default_rng(0)
    for size, parts in (((30, 45), 9), ((24, 24), 3), ((60, 5), 5)):
        coarse = generator.integers(0, 3, (parts * 3, parts * 2)).astype(np.uint8)
        rows, columns = (
            np.arange(length) * cells // length
            for length, cells in zip(size, coarse.shape, strict=True)
        )
        truth = coarse[rows][:, columns]
        truth[generator.random(size) < 0.05] = IGNORED
        found = regions_of(truth, truth)
        assert sorted(zip(found.label.tolist(), found.pixels.tolist(), strict=True)) == _filled(
            truth
        )
        assert found.is_found.all()


def test_a_spiral_is_one_region() -> None:
    truth = np.zeros((9, 9), np.uint8)
    truth[1:8, 1:8] = 1
    truth[2:8, 2:7] = 0
    truth[3:7, 3] = truth[6, 3:7] = 1
    truth[7, 2:4] = 1
    found = regions_of(truth, truth)
    assert (found.label == 1).sum() == 1


def test_a_region_is_found_with_half_of_its_pixels() -> None:
    truth = np.zeros((8, 24), np.uint8)
    truth[2:6, 2:10] = 1
    truth[2:6, 14:22] = 2
    answer = np.where(truth == 2, 0, truth)
    answer[2:4, 2:10] = 0
    found = regions_of(truth, answer)
    assert dict(zip(found.label.tolist(), found.is_found.tolist(), strict=True)) == {
        0: True, 1: True, 2: False
    }  # fmt: skip
    assert found.right[found.label == 1].tolist() == [16]
