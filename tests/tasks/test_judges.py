"""What a faster network has lost, by the judge of each task."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.tasks.classification.judge import ClassJudge
from pplcnet.tasks.multilabel.judge import LabelJudge
from pplcnet.tasks.task import Judge, Outputs

REFERENCE = np.array([[3, 1], [2, 0], [1, 2], [0, 3]], np.float32)
MARKS = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.int8)
THRESHOLDS = np.array([1.5, 1.5])


def _outputs(logits: np.ndarray) -> Outputs:
    return {"logits": logits.astype(np.float32)}


def test_with_one_class_per_image_it_is_top1() -> None:
    judge = ClassJudge(np.array([0, 0, 1, 1]))
    reference = _outputs(REFERENCE)
    assert judge.drop(reference, reference) == (0.0, "top-1")
    assert judge.drop(_outputs(REFERENCE[:, ::-1]), reference) == (1.0, "top-1")
    assert judge.agreement(_outputs(REFERENCE[:, ::-1]), reference) == 0.0
    assert judge.of_some([0, 2]).each(_outputs(REFERENCE[[0, 3]])) == [1.0, 1.0]


def test_with_several_labels_a_ranking_that_holds_is_not_enough() -> None:
    judge = LabelJudge(MARKS, THRESHOLDS)
    reference = _outputs(REFERENCE)
    assert judge.drop(reference, reference) == (0.0, "the labels that are right")
    lower = _outputs(REFERENCE - 1)  # the same mAP, but nothing of 2 reaches its threshold
    assert judge.value(lower) == judge.value(reference)
    assert judge.drop(lower, reference) == (0.25, "the labels that are right")
    assert judge.drop(_outputs(REFERENCE[:, ::-1]), reference) == (1.0, "the labels that are right")


def test_unknown_labels_do_not_count() -> None:
    marks = np.where((MARKS == 0) & (np.arange(4) < 2)[:, None], -1, MARKS).astype(np.int8)
    judge = LabelJudge(marks, THRESHOLDS)
    changed = REFERENCE.copy()
    changed[:2, 1] = 9
    assert judge.drop(_outputs(changed), _outputs(REFERENCE)).amount == 0.0
    assert judge.loss(_outputs(changed)) == judge.loss(_outputs(REFERENCE))


@pytest.mark.parametrize(
    "judge", [ClassJudge(np.array([0, 0, 1, 1])), LabelJudge(MARKS, THRESHOLDS)]
)
def test_nan_is_never_good_enough(judge: Judge) -> None:
    broken = _outputs(np.full_like(REFERENCE, np.nan))
    assert not judge.drop(broken, _outputs(REFERENCE)).amount <= 0.005
