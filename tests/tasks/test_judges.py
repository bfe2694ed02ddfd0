"""What a faster network has lost, by the judge of each task."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.tasks.classification.judge import ClassJudge
from pplcnet.tasks.multilabel.judge import LabelJudge
from pplcnet.tasks.task import Judge, Judged

REFERENCE = np.array([[3, 1], [2, 0], [1, 2], [0, 3]], np.float32)
MARKS = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.int8)
THRESHOLDS = np.array([1.5, 1.5])


def _judged(judge: Judge, logits: np.ndarray) -> Judged:
    outputs = {"logits": logits.astype(np.float32)}
    return judge.judged([{"logits": outputs["logits"][:3]}, {"logits": outputs["logits"][3:]}])


def test_with_one_class_per_image_it_is_top1() -> None:
    judge = ClassJudge(np.array([0, 0, 1, 1]))
    reference, turned = _judged(judge, REFERENCE), _judged(judge, REFERENCE[:, ::-1])
    assert reference.drop(reference) == (0.0, "top-1")
    assert turned.drop(reference) == (1.0, "top-1")
    assert turned.agreement(reference) == 0.0
    assert _judged(judge.of_some([0, 2]), REFERENCE[[0, 3]]).each == [1.0, 1.0]


def test_with_several_labels_a_ranking_that_holds_is_not_enough() -> None:
    judge = LabelJudge(MARKS, THRESHOLDS)
    reference, turned = _judged(judge, REFERENCE), _judged(judge, REFERENCE[:, ::-1])
    assert reference.drop(reference) == (0.0, "the labels that are right")
    lower = _judged(judge, REFERENCE - 1)  # the same mAP, but nothing of 2 reaches its threshold
    assert lower.value == reference.value
    assert lower.drop(reference) == (0.25, "the labels that are right")
    assert turned.drop(reference) == (1.0, "the labels that are right")


def test_unknown_labels_do_not_count() -> None:
    marks = np.where((MARKS == 0) & (np.arange(4) < 2)[:, None], -1, MARKS).astype(np.int8)
    judge = LabelJudge(marks, THRESHOLDS)
    logits = REFERENCE.copy()
    logits[:2, 1] = 9
    changed, reference = _judged(judge, logits), _judged(judge, REFERENCE)
    assert changed.drop(reference).amount == 0.0
    assert changed.loss == reference.loss


@pytest.mark.parametrize(
    "judge", [ClassJudge(np.array([0, 0, 1, 1])), LabelJudge(MARKS, THRESHOLDS)]
)
def test_nan_is_never_good_enough(judge: Judge) -> None:
    broken = _judged(judge, np.full_like(REFERENCE, np.nan))
    assert not broken.drop(_judged(judge, REFERENCE)).amount <= 0.005
