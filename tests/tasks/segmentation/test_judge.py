"""Images with masks as a measure of logits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.data.masks import IGNORED
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks.segmentation.areas import Areas, area_table
from pplcnet.tasks.segmentation.class_maps import class_map
from pplcnet.tasks.segmentation.judge import judge
from pplcnet.tasks.task import Outputs
from tests.tasks.segmentation.masks import blobs, dataset_of, manifest

TRUTH = [blobs(0), blobs(1, (40, 30)), blobs(2)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(tmp_path_factory.mktemp("masks"), TRUTH)


def _logits(truth: NDArray[np.uint8], size: tuple[int, int], sure: float = 4.0) -> np.ndarray:
    """Of `size`, for the class at each centre."""
    rows, columns = (
        ((np.arange(wanted) + 0.5) * length / wanted).astype(int)
        for length, wanted in zip(truth.shape, size, strict=True)
    )
    classes = np.minimum(truth[rows][:, columns], 2)
    return np.eye(3, dtype=np.float32)[classes] * np.float32(sure)


def _outputs(size: tuple[int, int] = (32, 48), sure: float = 4.0) -> Outputs:
    return {"logits": np.stack([_logits(each, size, sure) for each in TRUTH])}


def test_the_measure_is_the_miou_of_summed_areas_at_the_images_own_size(data: Dataset) -> None:
    measure = judge(manifest(), data.images)
    assert measure.judged([_outputs()]).value == 1
    coarse = _outputs((8, 12))
    judged = measure.judged([coarse])
    table = sum(
        area_table(
            truth,
            class_map(logits, manifest().preprocessing.geometry_of(truth.shape[::-1]), (32, 48)),
            3,
        )
        for truth, logits in zip(TRUTH, coarse["logits"], strict=True)
    )
    assert judged.value == Areas(table).miou
    assert len(judged.each) == 3
    assert 0.5 < min(judged.each) <= max(judged.each) <= 1


def test_outputs_may_come_a_few_images_at_a_time(data: Dataset) -> None:
    measure, outputs = judge(manifest(), data.images), _outputs((8, 12))
    whole = measure.judged([outputs])
    parts = measure.judged({"logits": each[None]} for each in outputs["logits"])
    assert (parts.value, parts.loss, parts.each) == (whole.value, whole.loss, whole.each)
    some = measure.of_some([2, 0]).judged([{"logits": outputs["logits"][[2, 0]]}])
    assert some.each == [whole.each[2], whole.each[0]]


def test_an_output_that_is_nan_is_worth_nan(data: Dataset) -> None:
    measure, outputs = judge(manifest(), data.images), _outputs()
    broken = measure.judged([{"logits": np.full_like(outputs["logits"], np.nan)}])
    assert np.isnan(broken.value)
    assert np.isnan(broken.drop(measure.judged([outputs])).amount)


def test_of_equal_values_the_surer_has_the_lower_loss(data: Dataset) -> None:
    measure = judge(manifest(), data.images)
    one, surer = (measure.judged([_outputs(sure=sure)]) for sure in (2.0, 8.0))
    assert one.value == surer.value
    assert surer.loss < one.loss
    right = np.log(1 + 2 * np.exp(-2.0))
    assert one.loss == pytest.approx(right, abs=0.02)


def test_a_drop_is_of_miou_and_agreement_of_cells(data: Dataset) -> None:
    measure, outputs = judge(manifest(), data.images), _outputs((8, 12))
    worse = outputs["logits"].copy()
    worse[0, :2] = worse[0, :2, :, ::-1]
    reference, judged = measure.judged([outputs]), measure.judged([{"logits": worse}])
    drop = judged.drop(reference)
    assert drop == (reference.value - judged.value, "mIoU")
    assert drop.amount > 0.01
    changed = (worse.argmax(-1) != outputs["logits"].argmax(-1)).mean()
    assert judged.agreement(reference) == pytest.approx(1 - changed)


def test_without_images_only_agreement_is_known() -> None:
    outputs = _outputs((8, 12))
    one, other = (judge(manifest(), ()).judged([outputs]) for _ in range(2))
    assert one.agreement(other) == 1


def test_logits_are_resized_to_the_photo_before_the_argmax() -> None:
    logits = np.random.default_rng(0).normal(0, 1, (5, 7, 4)).astype(np.float32)
    found = class_map(logits, Geometry((33, 21), (56 / 33, 40 / 21)), (40, 56))
    expected = np.empty((21, 33), int)
    for y in range(21):
        for x in range(33):
            down, across = (
                min(max((at + 0.5) * cells / length - 0.5, 0), cells - 1)
                for at, cells, length in ((y, 5, 21), (x, 7, 33))
            )
            top, left = min(int(down), 3), min(int(across), 5)
            a, b = down - top, across - left
            mixed = (1 - a) * ((1 - b) * logits[top, left] + b * logits[top, left + 1])
            mixed = mixed + a * ((1 - b) * logits[top + 1, left] + b * logits[top + 1, left + 1])
            expected[y, x] = mixed.argmax()
    assert found.dtype == np.uint8
    assert (found == expected).mean() > 0.997


def test_what_the_input_does_not_show_has_no_class_and_padding_is_left_out() -> None:
    logits = np.zeros((4, 4, 2), np.float32)
    logits[:, :2, 0] = logits[:, 2:, 1] = 1
    cropped = class_map(logits, Geometry((40, 20), (1.0, 1.0), (-10.0, 0.0)), (20, 20))
    assert (cropped[:, :10] == IGNORED).all()
    assert (cropped[:, 10:20] == 0).all()
    assert (cropped[:, 20:30] == 1).all()
    assert (cropped[:, 30:] == IGNORED).all()
    padded = class_map(logits, Geometry((40, 20), (0.5, 0.5)), (20, 20))
    assert padded.shape == (20, 40)
    assert (padded != IGNORED).all()


def test_cells_in_the_padding_are_in_no_loss(data: Dataset) -> None:
    padded = manifest((64, 48), resize="fit")
    logits = np.stack([np.concatenate([_logits(TRUTH[0], (4, 6)), np.zeros((4, 6, 3))])])
    judged = judge(padded, data.images[:1]).judged([{"logits": logits.astype(np.float32)}])
    assert judged.loss == pytest.approx(np.log(1 + 2 * np.exp(-4.0)), abs=1e-5)
