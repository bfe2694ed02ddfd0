"""Suppression keeps what the original keeps, exactly; real boxes are read as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pplcnet.data.audit import audit_dataset
from pplcnet.data.dataset import Dataset
from pplcnet.tasks.detection.suppression import suppress
from tests.tasks.detection.rules import RULES


def _rows(boxes: np.ndarray, scores: np.ndarray, **options: float) -> np.ndarray:
    """Class, score, box, listed by class and inside a class by falling score."""
    kept = suppress(boxes, scores, **options)
    order = np.lexsort((-kept.confidence, kept.class_id))
    return np.column_stack([kept.class_id, kept.confidence, kept.xyxy])[order]


def test_the_same_boxes_are_kept(shared: Path) -> None:
    with np.load(shared / "reference/picodet/nms.npz") as expected:
        parts = np.split(expected["detections"], np.cumsum(expected["count"])[:-1])
        for boxes, scores, rows in zip(expected["boxes"], expected["scores"], parts, strict=True):
            np.testing.assert_array_equal(_rows(boxes, scores.T), rows)
        prefix = "one_class_top20_keep10_score03_iou05_"
        counts = expected[f"{prefix}count"]
        parts = np.split(expected[f"{prefix}detections"], np.cumsum(counts)[:-1])
        for boxes, scores, rows in zip(expected["boxes"], expected["scores"], parts, strict=True):
            found = _rows(
                boxes, scores[:1].T, score_threshold=0.3, iou_threshold=0.5, most=10, candidates=20
            )
            np.testing.assert_array_equal(found, rows)


def test_blood_cells_are_read_from_either_layout(shared: Path) -> None:
    folder = shared / "data" / "bccd"
    coco, voc = (
        Dataset.open(folder),
        Dataset.open(folder / "voc").with_classes(["RBC", "WBC", "Platelets"]),
    )
    by_name = {image.path.name: image for image in voc.images}
    assert len(coco) == len(voc) == 364
    for image in coco.images:
        other = by_name[image.path.name]
        assert other.split == image.split
        assert other.annotation == image.annotation
    given = json.loads((folder / "test.json").read_text())["annotations"]
    assert sum(len(image.annotation) for image in coco.subset("test").images) == len(given)


def test_the_two_boxes_without_area_are_found_and_left_out(shared: Path) -> None:
    dataset = Dataset.open(shared / "data" / "bccd")
    at_fault = {"BloodImage_00338.jpg", "BloodImage_00343.jpg"}
    chosen = [image for image in dataset.images if image.path.name in at_fault]
    audit = audit_dataset(dataset.keep([*chosen, *dataset.images[:3]]), RULES)
    (fault,) = audit.faults
    assert fault.text.startswith("2 boxes with no area: ")
    before, after = (
        sum(map(len, _boxes(each))) for each in (audit.dataset, audit.without_faults())
    )
    assert after == before - 2
    assert len(audit.without_faults()) == len(audit.dataset)


def _boxes(dataset: Dataset) -> list[object]:
    return [image.annotation for image in dataset.images]
