"""The losses of a detector: the original's, with gradients, and finite where the original's end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from keras import ops

from pplcnet.tasks.detection.losses import DetectionLoss, pack_cells
from tests.tasks.detection.gradients import value_and_gradients

SIZE = (192, 192)
LOGITS = ("class_logits", "align_logits", "distance_logits")


class Reference(NamedTuple):
    values: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def logits(self) -> list[np.ndarray]:
        return [self.arrays[name] for name in LOGITS]

    @property
    def targets(self) -> np.ndarray:
        classes = np.where(self.arrays["gt_mask"] > 0, self.arrays["gt_classes"], -1)
        return np.concatenate([self.arrays["gt_boxes"], classes[..., None]], -1).astype(np.float32)


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    folder = shared / "reference/picodet"
    with np.load(folder / "assignment_and_losses.npz") as arrays:
        values = json.loads((folder / "assignment_and_losses.json").read_text())["values"]
        return Reference(values, dict(arrays))


def _total(targets: np.ndarray, is_aligned: float, size: tuple[int, int] = SIZE) -> Any:
    loss = DetectionLoss(3)

    def total(*logits: Any) -> Any:
        packed = pack_cells(*logits, size, ops.convert_to_tensor(np.float32(is_aligned)))
        return loss(ops.convert_to_tensor(targets), packed)

    return total


@pytest.mark.parametrize("rule", ["static", "aligned"])
def test_losses_and_gradients_are_the_original_s(reference: Reference, rule: str) -> None:
    expected, is_aligned = reference.values[rule], float(rule == "aligned")
    packed = pack_cells(
        *map(ops.convert_to_tensor, reference.logits), SIZE, ops.convert_to_tensor(is_aligned)
    )
    parts = DetectionLoss(3).parts(ops.convert_to_tensor(reference.targets), packed)
    for part, name in zip(parts, ("loss_vfl", "loss_bbox", "loss_dfl"), strict=True):
        assert float(part) == pytest.approx(expected[name], rel=1e-5)
    total, gradients = value_and_gradients(_total(reference.targets, is_aligned), *reference.logits)
    assert total == pytest.approx(expected["loss"], rel=1e-5)
    for name, gradient in zip(LOGITS, gradients, strict=True):
        wanted = reference.arrays[f"{rule}_grad_{name}"]
        assert np.abs(gradient - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("is_aligned", [0.0, 1.0])
def test_a_batch_without_objects_ends_no_run(reference: Reference, is_aligned: float) -> None:
    targets = np.zeros_like(reference.targets)
    targets[..., 4] = -1
    total, gradients = value_and_gradients(
        _total(targets, is_aligned), *reference.logits, is_graph=False
    )
    assert 0 < total < 1e6
    assert all(np.isfinite(each).all() for each in gradients)
    assert np.abs(gradients[0]).max() > 0  # false alarms are unlearned
    assert not np.abs(gradients[2]).any()


@pytest.mark.parametrize("is_aligned", [0.0, 1.0])
def test_padding_changes_nothing(reference: Reference, is_aligned: float) -> None:
    padding = np.zeros((3, 7, 5), np.float32)
    padding[..., 4] = -1
    more = np.concatenate([reference.targets, padding], axis=1)
    logits = [ops.convert_to_tensor(each) for each in reference.logits]
    one, other = (float(_total(each, is_aligned)(*logits)) for each in (reference.targets, more))
    assert one == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize("is_aligned", [0.0, 1.0])
def test_logits_that_are_certain_have_finite_gradients(
    reference: Reference, is_aligned: float
) -> None:
    signs = [np.sign(each) * np.float32(200) for each in reference.logits]
    total, gradients = value_and_gradients(
        _total(reference.targets, is_aligned), *signs, is_graph=False
    )
    assert np.isfinite(total)
    assert all(np.isfinite(each).all() for each in gradients)


@pytest.mark.parametrize("size", [(64, 96), (256, 352)])
@pytest.mark.parametrize("is_aligned", [0.0, 1.0])
def test_other_sizes_have_their_own_cells(size: tuple[int, int], is_aligned: float) -> None:
    count = sum(-(-size[0] // each) * -(-size[1] // each) for each in (8, 16, 32, 64))
    generator = np.random.default_rng(0)
    logits = [
        generator.standard_normal((2, count, last)).astype(np.float32) for last in (3, 1, 32)
    ]  # fmt: skip
    targets = np.full((2, 1, 5), -1, np.float32)
    targets[0, 0] = 0, 0, size[1] * 0.7, size[0], 1
    total, gradients = value_and_gradients(
        _total(targets, is_aligned, size), *logits, is_graph=False
    )
    assert np.isfinite(total)
    assert np.abs(gradients[2][0]).max() > 0
    assert not gradients[2][1].any()
