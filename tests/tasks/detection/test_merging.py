"""Boxes of a photo's tiles and of the whole of it become one answer."""

from __future__ import annotations

import numpy as np

from pplcnet.imaging.windows import Window, windows_over
from pplcnet.tasks.detection.merging import merge_found
from pplcnet.tasks.detection.suppression import FoundBoxes, overlaps, suppress

SIZE = (175, 100)
WINDOWS = windows_over((100, 175), (100, 100), (75, 75))
NOTHING = FoundBoxes(np.empty((0, 4), "f4"), np.empty(0, np.intp), np.empty(0, "f4"))


def _found(*rows: tuple[float, ...]) -> FoundBoxes:
    """Rows of x1, y1, x2, y2, class, confidence."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return FoundBoxes(table[:, :4], table[:, 4].astype(np.intp), table[:, 5])


def _merge(whole: FoundBoxes, *parts: FoundBoxes) -> list[tuple[float, ...]]:
    merged = merge_found(whole, parts, WINDOWS, SIZE, (25, 25))
    columns = (merged.xyxy.tolist(), merged.class_id.tolist(), merged.confidence.tolist())
    return [
        (*box, label, round(confidence, 3)) for box, label, confidence in zip(*columns, strict=True)
    ]


def test_two_tiles_overlap_by_a_quarter() -> None:
    assert [Window(0, 0, 100, 100), Window(75, 0, 175, 100)] == WINDOWS


def test_an_object_that_two_tiles_see_is_found_once_in_the_photos_pixels() -> None:
    left, right = _found((80, 10, 95, 30, 0, 0.7)), _found((5, 10, 21, 30, 0, 0.8))
    assert _merge(NOTHING, left, right) == [(80, 10, 96, 30, 0, 0.8)]


def test_objects_of_other_classes_and_elsewhere_stay_and_confidence_falls() -> None:
    left = _found((80, 10, 95, 30, 0, 0.7), (10, 50, 30, 70, 0, 0.5))
    right = _found((5, 10, 21, 30, 1, 0.9), (60, 50, 80, 70, 0, 0.6))
    assert [row[5] for row in _merge(NOTHING, left, right)] == [0.9, 0.7, 0.6, 0.5]


def test_a_part_of_an_object_at_a_tiles_edge_gives_way_to_the_whole_object() -> None:
    # 84 to 104: the left tile sees it up to 100, surer than the right tile is of all of it.
    left, right = _found((88, 10, 100, 30, 0, 0.9)), _found((9, 10, 29, 30, 0, 0.6))
    assert _merge(NOTHING, left, right) == [(84, 10, 104, 30, 0, 0.6)]


def test_a_box_at_the_photos_own_edge_is_no_part() -> None:
    left, right = _found((0, 80, 40, 100, 0, 0.4), (0, 84, 15, 100, 0, 0.9)), NOTHING
    assert len(_merge(NOTHING, left, right)) == 2


def test_a_part_alone_stays() -> None:
    assert len(_merge(NOTHING, _found((88, 10, 100, 30, 0, 0.9)), NOTHING)) == 1


def test_the_whole_photo_answers_for_objects_larger_than_the_overlap() -> None:
    whole = _found((10, 10, 160, 90, 0, 0.8), (40, 40, 55, 55, 0, 0.9))
    parts = _found((10, 10, 100, 90, 0, 0.85)), _found((0, 10, 85, 90, 0, 0.7))
    assert _merge(whole, *parts) == [(10, 10, 160, 90, 0, 0.8)]


def test_many_tiles_give_what_suppression_of_all_boxes_gives() -> None:
    generator = np.random.default_rng(0)
    size, windows = (1000, 800), windows_over((800, 1000), (200, 200), (200, 200))
    parts = []
    for _ in windows:
        corners = generator.uniform(10, 140, (20, 2))
        boxes = np.concatenate([corners, corners + generator.uniform(15, 48, (20, 2))], axis=1)
        labels = generator.integers(0, 2, 20)
        parts.append(FoundBoxes(boxes.astype("f4"), labels, generator.random(20).astype("f4")))
    merged = merge_found(NOTHING, parts, windows, size, (0, 0), iou_threshold=0.3)
    shifts = [np.float32([each.left, each.top] * 2) for each in windows]
    boxes = np.concatenate([part.xyxy + by for part, by in zip(parts, shifts, strict=True)])
    scores = np.zeros((len(boxes), 2), np.float32)
    labels = np.concatenate([part.class_id for part in parts])
    scores[np.arange(len(boxes)), labels] = np.concatenate([part.confidence for part in parts])
    expected = suppress(boxes, scores, score_threshold=0, iou_threshold=0.3, most=len(boxes))
    assert 100 < len(merged.xyxy) < len(boxes)
    for one, other in zip(merged, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    own = overlaps(merged.xyxy, merged.xyxy) * (merged.class_id[:, None] == merged.class_id)
    assert np.triu(own, 1).max() <= 0.3
