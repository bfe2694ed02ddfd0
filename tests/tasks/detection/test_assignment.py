"""Which cells learn which boxes: as the original's, and by the definition at other sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from pplcnet.models.catalog import DETECTOR_STRIDES
from pplcnet.tasks.detection.assignment import (
    Assignment,
    Truth,
    assign_by_place,
    assign_by_task,
    cells_of,
)


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "reference/picodet/assignment_and_losses.npz") as arrays:
        return dict(arrays)


def _truth(boxes: np.ndarray, classes: np.ndarray, exists: np.ndarray) -> Truth:
    return Truth(
        ops.convert_to_tensor(np.asarray(boxes, np.float32)),
        ops.convert_to_tensor(np.asarray(classes, np.int32)),
        ops.convert_to_tensor(np.asarray(exists, bool)),
    )


def _numpy(found: Assignment) -> Assignment:
    return Assignment(*(ops.convert_to_numpy(each) for each in found))


def test_cells_are_the_original_s(reference) -> None:
    cells = cells_of(192, 192)
    np.testing.assert_array_equal(cells.centres, reference["anchor_points"])
    np.testing.assert_array_equal(cells.strides, reference["anchor_strides"])


@pytest.mark.parametrize("rule", ["static", "aligned"])
def test_labels_and_scores_are_the_original_s(reference, rule: str) -> None:
    truth = _truth(reference["gt_boxes"], reference["gt_classes"], reference["gt_mask"])
    predicted, scores = (ops.convert_to_tensor(reference[name]) for name in ("boxes", "scores"))
    cells = cells_of(192, 192)
    found = _numpy(
        assign_by_place(cells, truth, predicted)
        if rule == "static"
        else assign_by_task(cells, truth, predicted, scores)
    )
    image = np.arange(3)[:, None]
    labels = np.where(found.is_positive, reference["gt_classes"][image, found.box], 3)
    np.testing.assert_array_equal(labels, reference[f"{rule}_labels"])
    boxes = np.where(found.is_positive[..., None], reference["gt_boxes"][image, found.box], 0)
    np.testing.assert_array_equal(boxes, reference[f"{rule}_boxes"])
    wanted = np.eye(4)[labels][..., :3] * found.score[..., None]
    np.testing.assert_allclose(wanted, reference[f"{rule}_scores"], rtol=1e-5, atol=1e-6)


def _iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    overlap = np.clip(high - low, 0, None).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(-1) for each in (one, other)]
    return overlap / (areas[0] + areas[1] - overlap)


def _by_definition(boxes: np.ndarray, centres: np.ndarray, strides: np.ndarray) -> np.ndarray:
    """Cells (A,) to the box that ATSS gives them, or -1: box by box, over all cells."""
    half = strides[:, None] * 2.5
    overlaps = _iou(np.concatenate([centres - half, centres + half], 1)[None], boxes[:, None])
    claims = np.zeros(overlaps.shape, bool)
    for at, box in enumerate(boxes):
        middle = (box[:2] + box[2:]) / 2
        near: list[int] = []
        for stride in DETECTOR_STRIDES:
            level = np.flatnonzero(strides == stride)
            distances = np.linalg.norm(centres[level] - middle, axis=1)
            near += level[np.argsort(distances)[:9]].tolist()
        chosen = overlaps[at, near]
        threshold = chosen.mean() + chosen.std(ddof=1)
        is_inside = ((centres > box[:2]) & (centres < box[2:])).all(axis=1)
        for cell in near:
            claims[at, cell] = overlaps[at, cell] > threshold and is_inside[cell]
    owner = np.where(claims.sum(0) > 1, overlaps.argmax(0), claims.argmax(0))
    return np.where(claims.any(0), owner, -1)


@pytest.mark.parametrize("size", [(320, 320), (96, 96), (64, 512), (256, 352)])
def test_atss_looks_at_the_nearest_cells_of_every_level(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(size)
    cells = cells_of(*size)
    sides = np.array([size[1], size[0]] * 2)
    corners = np.sort(generator.random((2, 12, 2, 2)), axis=2).reshape(2, 12, 4)
    boxes = np.asarray(corners * sides, np.float32)
    truth = _truth(boxes, np.zeros((2, 12)), np.ones((2, 12)))
    predicted = np.zeros((2, len(cells.strides), 4), np.float32)
    found = _numpy(assign_by_place(cells, truth, ops.convert_to_tensor(predicted)))
    owner = np.where(found.is_positive, found.box, -1)
    centres, strides = (ops.convert_to_numpy(each) for each in cells[:2])
    for at in range(2):
        np.testing.assert_array_equal(owner[at], _by_definition(boxes[at], centres, strides))
    assert (owner >= 0).any()


def test_tal_takes_no_cell_outside_of_a_box_that_holds_few() -> None:
    boxes = np.array([[[100.0, 100, 121, 119]]])
    cells = cells_of(192, 192)
    predicted = np.tile(np.array([0, 0, 5, 5], np.float32), (1, len(cells.strides), 1))
    scores = np.full((1, len(cells.strides), 2), 0.5, np.float32)
    found = _numpy(
        assign_by_task(
            cells, _truth(boxes, np.zeros((1, 1)), np.ones((1, 1))), *map(
                ops.convert_to_tensor, (predicted, scores)
            )
        )
    )  # fmt: skip
    centres = ops.convert_to_numpy(cells.centres)
    is_inside = ((centres > boxes[0, 0, :2]) & (centres < boxes[0, 0, 2:])).all(axis=1)
    assert 0 < is_inside.sum() < 13
    np.testing.assert_array_equal(found.is_positive[0], is_inside)
    assert not found.score.any()
