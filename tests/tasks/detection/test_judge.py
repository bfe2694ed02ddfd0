"""Images with boxes as a measure of raw outputs."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from pplcnet.data.annotations import Boxes
from pplcnet.tasks.detection.calibrating import calibrate
from pplcnet.tasks.detection.judge import JudgedBoxes, judge
from pplcnet.tasks.task import Outputs
from tests.tasks.detection.boxes import found, images_of, manifest, true

TRUTH = [true((0, 64, 48, 192, 144), (1, 320, 240, 480, 360)), true(), true((1, 0, 0, 100, 90))]
RIGHT = [
    [(0, 0.9, 64, 48, 192, 144), (1, 0.8, 320, 240, 480, 360)],
    [],
    [(1, 0.7, 0, 0, 100, 90)],
]


def _outputs(answers: list[list[tuple[float, ...]]], cells: int = 8) -> Outputs:
    """Raw outputs of a network of 320x320 that answers photos of 640x480."""
    boxes = np.zeros((len(answers), cells, 4), np.float32)
    scores = np.zeros((len(answers), cells, 2), np.float32)
    for at, rows in enumerate(answers):
        each = found(*rows)
        boxes[at, : len(rows)] = each.xyxy * np.float32([320 / 640, 320 / 480] * 2)
        scores[at, np.arange(len(rows)), each.class_id] = each.confidence
    return {"boxes": boxes, "scores": scores}


def _judged(answers: Outputs | list[list[tuple[float, ...]]], **facts: float) -> JudgedBoxes:
    """An image at a time."""
    outputs = _outputs(answers) if isinstance(answers, list) else answers
    return judge(manifest(**facts), images_of(TRUTH)).judged(_parts(outputs))


def _parts(outputs: Outputs) -> list[Outputs]:
    images = range(len(outputs["boxes"]))
    return [{name: each[at : at + 1] for name, each in outputs.items()} for at in images]


def test_the_measure_is_the_average_precision_in_the_photo_s_pixels() -> None:
    assert _judged(RIGHT).value == pytest.approx(1)
    assert _judged([RIGHT[0], [], []]).value == pytest.approx(0.75, abs=0.01)
    assert _judged([[], [], []]).value == 0
    assert _judged([RIGHT[0], RIGHT[2], []]).each == [1, 0, 0]


def test_of_the_outputs_nothing_but_the_boxes_that_count_is_kept() -> None:
    outputs = _outputs(RIGHT, cells=2000)
    of_cells: list[weakref.ref[object]] = []

    def parts() -> Iterator[Outputs]:
        for part in _parts(outputs):
            copies = {name: each.copy() for name, each in part.items()}
            of_cells.extend(weakref.ref(each) for each in copies.values())
            yield copies
            del copies

    judged = judge(manifest(), images_of(TRUTH)).judged(parts())
    assert len(of_cells) == 6
    assert [each() for each in of_cells] == [None] * 6
    assert judged.value == pytest.approx(1)


def test_an_output_that_is_nan_is_worth_nan() -> None:
    outputs = _outputs(RIGHT)
    broken = _judged({**outputs, "scores": np.full_like(outputs["scores"], np.nan)})
    assert np.isnan(broken.value)
    assert np.isnan(broken.drop(_judged(outputs)).amount)


def test_of_equal_values_the_more_confident_has_the_lower_loss() -> None:
    outputs = _outputs(RIGHT)
    judged, surer = _judged(outputs), _judged({**outputs, "scores": outputs["scores"] * 1.1})
    assert surer.value == judged.value
    assert judged.loss == pytest.approx(1 - (0.9 + 0.8 + 0.7) / 3, abs=1e-6)
    assert surer.loss < judged.loss


def test_a_drop_is_seen_in_the_ranking_or_in_what_is_shown() -> None:
    outputs = _outputs(RIGHT)
    reference = _judged(outputs)
    lost = _judged([RIGHT[0], [], []]).drop(reference)
    assert lost == (pytest.approx(1 / 3), "the F1 of the boxes that are shown")
    fainter = _judged({**outputs, "scores": outputs["scores"] * 0.55})
    assert fainter.value == reference.value
    # Of confidences 0.3 to 0.5: nothing, nothing, one image of three, that and a box of two, two.
    lost = fainter.drop(reference).amount
    assert lost == pytest.approx(np.mean([0, 0, 1 / 3, (1 + 1 / 3) / 3, 2 / 3]))
    assert reference.drop(reference).amount == 0


def test_answers_agree_when_the_same_boxes_are_shown() -> None:
    outputs = _outputs(RIGHT)
    moved = _judged({**outputs, "boxes": outputs["boxes"] + 2})
    assert moved.agreement(_judged(outputs)) == 1
    fainter = _judged({**outputs, "scores": outputs["scores"] * 0.55})
    assert fainter.agreement(_judged(outputs)) == pytest.approx(2 / 3)


def test_outputs_can_be_compared_without_true_boxes() -> None:
    judged = judge(manifest(), ()).judged([_outputs(RIGHT)])
    assert judged.agreement(judged) == 1


def test_some_of_the_images_by_their_places() -> None:
    some = judge(manifest(confidence=0.74), images_of(TRUTH)).of_some([2, 1])
    judged = some.judged([_outputs([RIGHT[2], RIGHT[1]])])
    assert judged.value == pytest.approx(1)
    assert judged.each == [pytest.approx(2 / 5), 1]  # 0.7 is shown from 0.64 and 0.69 on


def test_a_confidence_chosen_on_the_images_does_not_make_every_change_a_loss() -> None:
    # The false box is just below the confidence, so that at it alone any higher score is a loss.
    answers = [[*RIGHT[0], (1, 0.399, 0, 300, 90, 400)], [], RIGHT[2]]
    reference = _judged(answers)
    other = [[*RIGHT[0], (1, 0.401, 0, 300, 90, 400)], [], RIGHT[2]]
    assert _judged(other).drop(reference).amount == pytest.approx(0.2 / 3 / 5)


def test_the_confidence_is_chosen_by_f1() -> None:
    answers = [[*RIGHT[0], (1, 0.3, 0, 300, 90, 400)], [], RIGHT[2]]
    fitted = calibrate(manifest(), [_outputs(answers)], images_of(TRUTH))
    assert fitted.decoding == {"confidence": 0.5}
    assert fitted.changes_answers
    assert fitted.facts["f1"] == 1
    again = calibrate(manifest(confidence=0.5), [_outputs(answers)], images_of(TRUTH))
    assert not again.changes_answers


def test_where_nothing_is_found_the_confidence_stays() -> None:
    fitted = calibrate(manifest(confidence=0.6), [_outputs([[], [], []])], images_of(TRUTH))
    assert fitted.decoding == {"confidence": 0.6}
    assert not fitted.changes_answers
    assert "no true box was found to choose it by" in fitted.facts["text"]


def test_a_photo_of_unknown_size_is_one_in_the_input_s_pixels() -> None:
    truth = [Boxes.make([[10, 10, 60, 60]], [0])]
    outputs = {
        "boxes": np.float32([[[10, 10, 60, 60]]]),
        "scores": np.float32([[[0.9, 0.0]]]),
    }
    assert judge(manifest(), images_of(truth)).judged([outputs]).value == pytest.approx(1)
