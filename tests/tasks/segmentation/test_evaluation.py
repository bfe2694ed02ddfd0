"""The evaluation of a segmenter's answers: figures by class and image, files and text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.data.masks import IGNORED, MaskFacts
from pplcnet.errors import DatasetError
from pplcnet.tasks.segmentation.evaluation import MaskEvaluation, evaluate
from tests.tasks.segmentation.masks import Answer, blobs, dataset_of, manifest


def _strip(*widths: int) -> NDArray[np.uint8]:
    """A mask 20 pixels high of bands of the classes 0, 1, 2."""
    row = np.repeat(np.arange(len(widths)), widths).astype(np.uint8)
    return np.broadcast_to(row, (20, len(row))).copy()


TRUTH = [_strip(20, 10), _strip(10, 20), np.full((20, 30), IGNORED, np.uint8)]
ANSWERS = [_strip(20, 10), _strip(25, 5), _strip(30)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(tmp_path_factory.mktemp("evaluated"), TRUTH)


@pytest.fixture(scope="module")
def evaluation(data: Dataset) -> MaskEvaluation:
    return evaluate(manifest(), data, zip(data.images, map(Answer, ANSWERS), strict=True))


def test_figures_are_of_summed_areas(evaluation: MaskEvaluation) -> None:
    land, road, sea = evaluation.per_class()
    assert (land.iou, land.precision, land.recall) == (30 / 45, 30 / 45, 1)
    assert (road.iou, road.dice, road.pixels, road.images) == (15 / 30, 30 / 45, 600, 2)
    assert sea == ("sea", 0, 0, None, None, None, None, None, 0, 0)
    figures = evaluation.figures()
    assert figures["miou"] == pytest.approx((30 / 45 + 1 / 2) / 2)
    assert figures["pixel_accuracy"] == pytest.approx(45 / 60)
    assert (figures["images"], figures["pixels"], figures["absent_classes"]) == (3, 1200, 1)
    assert evaluation.absent == ("sea",)


def test_regions_and_borders_are_told_by_class(evaluation: MaskEvaluation) -> None:
    land, road, _ = evaluation.per_class()
    assert (land.regions, land.found) == (2, 2)
    assert (road.regions, road.found) == (2, 1)
    assert land.boundary_f1 == road.boundary_f1 == 0.5


def test_images_have_figures_of_their_own(evaluation: MaskEvaluation) -> None:
    right, wrong, blank = evaluation.per_image
    assert (right.miou, right.accuracy, right.mistake) == (1, 1, "")
    assert wrong.miou == pytest.approx((10 / 25 + 5 / 20) / 2)
    assert wrong.mistake == "road answered as land on 50.0% of the pixels"
    assert (blank.miou, blank.accuracy, blank.pixels) == (None, None, 0)
    assert evaluation.worst_first == [1, 0]


def test_text_names_absent_classes_and_the_worst_photos(evaluation: MaskEvaluation) -> None:
    text = evaluation.to_text()
    assert "mIoU 0.5833   pixel accuracy 0.7500   images 3" in text
    assert "left out of every mean, because neither a mask nor an answer has it: sea" in text
    assert "images/1.png: 0.325; road answered as land on 50.0% of the pixels" in text
    assert evaluation.headline() == "0.5833 mIoU, 0.7500 pixel accuracy"


def test_plain_values_and_tables(evaluation: MaskEvaluation, tmp_path: Path) -> None:
    content = json.loads(json.dumps(evaluation.to_dict(1)))
    assert content["confusion"] == [[600, 0, 0, 0], [300, 300, 0, 0], [0, 0, 0, 0]]
    assert [each["name"] for each in content["mistakes"]] == ["images/1.png"]
    assert content["miou_interval"] is None
    tables = {table.name: list(table.rows) for table in evaluation.tables()}
    assert [len(rows) for rows in tables.values()] == [3, 3, 3]
    evaluation.draw(tmp_path / "iou.png", "a test")
    assert (tmp_path / "iou.png").stat().st_size > 5000


def test_answering_one_class_everywhere_is_called_weak(data: Dataset) -> None:
    flat = [Answer(np.zeros_like(each)) for each in TRUTH]
    found = evaluate(manifest(), data, zip(data.images, flat, strict=True))
    assert found.weakness() == (
        "mIoU 0.2500 is no better than that of answering 'land' everywhere, 0.2500"
    )
    right = [Answer(each) for each in TRUTH]
    assert evaluate(manifest(), data, zip(data.images, right, strict=True)).weakness() == ""


def test_enough_images_have_an_interval(tmp_path: Path) -> None:
    truth = [blobs(seed) for seed in range(12)]
    data = dataset_of(tmp_path, truth)
    answers = [Answer(np.roll(each, seed, 1)) for seed, each in enumerate(truth)]
    found = evaluate(manifest(), data, zip(data.images, answers, strict=True))
    assert found.interval is not None
    assert found.interval.low < found.figures()["miou"] < found.interval.high
    assert "bootstrap over photos" in found.to_text()


def test_masks_that_cannot_be_used_stop_the_evaluation_before_it_starts(data: Dataset) -> None:
    image = data.images[0]
    facts = (MaskFacts("its mask is broken", "unreadable mask"), MaskFacts(strange=(("9", 3),)))
    for own, text in zip(facts, ("its mask is broken", "the value 9 (3 pixels)"), strict=True):
        broken = replace(image, annotation=replace(image.annotation, facts_found=own))
        with pytest.raises(DatasetError, match=re.escape(text)):
            evaluate(manifest(), replace(data, images=(broken, *data.images[1:])), iter(()))
