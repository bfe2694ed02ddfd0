"""What a report on a segmenter shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.tasks.segmentation.answers import MaskAnswers
from pplcnet.tasks.segmentation.cells import chosen_photos
from pplcnet.tasks.segmentation.report import report
from tests.tasks.segmentation.masks import Answer, dataset_of, manifest
from tests.tasks.segmentation.reported import ANSWERS, TRUTH, context_of, page_of


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(tmp_path_factory.mktemp("reported"), TRUTH)


@pytest.fixture(scope="module")
def page(data: Dataset) -> str:
    return page_of(report(context_of(data)))


def test_every_part_is_on_the_page(page: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', page) == [
        "classes", "photos", "confusion", "sizes"
    ]  # fmt: skip
    assert page.count('<svg class="chart"') == 2
    assert "<span>mIoU</span><small>mean over 3 classes; 95 % interval" in page


def test_photos_have_layers_and_the_photo_is_there_once(page: str) -> None:
    figures = re.findall(r'<figure class="layers".*?</figure>\n', page, re.DOTALL)
    assert page.count('<figure class="layers"') == 14
    assert "<h3>Worst</h3>" in page
    assert "<h3>Best</h3>" in page
    assert page.count("url(data:image/jpeg;base64,") == 14
    assert page.count('src="data:image/png;base64,') == 3 * 14
    assert len(figures[0]) < 20_000
    assert 'data-variable="--opacity"' in page


def test_of_few_photos_all_are_shown_from_the_worst_on(data: Dataset) -> None:
    ((title, places),) = chosen_photos(context_of(data, count=5).evaluation)
    assert title == ""
    assert sorted(places) == [0, 1, 2, 3, 4]
    assert places[-1] == 0  # the only answer without a mistake


def test_the_middle_and_the_best_are_no_photos_of_the_worst(data: Dataset) -> None:
    groups = dict(chosen_photos(context_of(data).evaluation))
    every = [at for places in groups.values() for at in places]
    assert len(every) == len({*every}) == 14
    assert groups["Best"][0] == 0


def test_the_confusion_is_in_per_cent_of_the_row(page: str) -> None:
    rows = re.findall(r'<tr><th scope="row" title="land">land</th>(.*?)</tr>', page, re.DOTALL)
    shares = [float(each) for each in re.findall(r"pixels\">([0-9.]+)</td>", rows[-1])]
    assert len(shares) == 3
    assert sum(shares) == pytest.approx(100, abs=1)


def test_names_cannot_break_out_of_the_page(data: Dataset) -> None:
    classes = ("<script>alert(1)</script>", '"><img src=x>', "sea")
    page = page_of(report(context_of(data, classes)))
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_answers_of_another_network_are_compared(data: Dataset) -> None:
    context = context_of(data)
    answers = MaskAnswers(manifest(), context.reported, context.evaluation, ANSWERS)
    right = answers.answered_by([Answer(each) for each in TRUTH])
    score = right.score()
    assert score is not None
    assert (score.images, score.value) == (16, 1)
    assert answers.agreement(answers) == 1
    same = np.mean(
        [(one.class_map == other).mean() for one, other in zip(ANSWERS, TRUTH, strict=True)]
    )
    assert answers.agreement(right) == pytest.approx(same)
    some = answers.score(np.arange(16) < 1)
    assert some is not None
    assert (some.images, some.value, some.interval) == (1, 1, None)
    assert answers.score(np.zeros(16, bool)) is None
