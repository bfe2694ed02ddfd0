"""The losses of a segmenter: PaddleSeg's values and gradients, and what ignored pixels change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

from pplcnet.data.masks import IGNORED
from pplcnet.tasks.segmentation.losses import (
    SegmentationLoss,
    cross_entropy,
    dice,
    hardest_cross_entropy,
    lovasz_softmax,
    ohem_cross_entropy,
)
from tests.tasks.detection.gradients import value_and_gradients

Loss = Callable[[Any, Any], Any]


class Reference(dict[str, np.ndarray]):
    @property
    def logits(self) -> np.ndarray:
        return np.ascontiguousarray(self["logits"].transpose(0, 2, 3, 1))


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    with np.load(shared / "reference/seg_losses_and_metrics.npz") as arrays:
        return Reference(arrays)


def _loss(name: str, reference: Reference) -> Loss:
    weights = reference["class_weights"].tolist()
    mixture = SegmentationLoss(lovasz_part=0.2)
    losses: dict[str, Loss] = {
        "cross_entropy": cross_entropy,
        "cross_entropy_weighted": partial(cross_entropy, class_weights=weights),
        "cross_entropy_all_pixels_average": partial(cross_entropy, over_ignored=True),
        "cross_entropy_top20percent": partial(hardest_cross_entropy, part=0.2),
        "ohem_min100": partial(ohem_cross_entropy, threshold=0.7, least=100),
        "ohem_min1000": partial(ohem_cross_entropy, threshold=0.7, least=1000),
        "ohem_min5000_more_than_pixels": partial(ohem_cross_entropy, threshold=0.7, least=5000),
        "dice": dice,
        "lovasz_softmax_present": lovasz_softmax,
        "mixed_08ce_02lovasz": lambda logits, labels: mixture(labels, logits[:, None]),
    }
    return losses[name]


NAMES = (
    "cross_entropy",
    "cross_entropy_weighted",
    "cross_entropy_all_pixels_average",
    "cross_entropy_top20percent",
    "ohem_min100",
    "ohem_min1000",
    "ohem_min5000_more_than_pixels",
    "dice",
    "lovasz_softmax_present",
    "mixed_08ce_02lovasz",
)


def _computed(
    loss: Loss, logits: np.ndarray, labels: np.ndarray, *, is_graph: bool = False
) -> tuple[float, np.ndarray]:
    labels = ops.convert_to_tensor(labels.astype(np.int32))
    value, (gradient,) = value_and_gradients(
        lambda given: loss(given, labels), logits, is_graph=is_graph
    )
    return value, gradient


@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_the_original_s(reference: Reference, name: str) -> None:
    loss = _loss(name, reference)
    value, gradient = _computed(loss, reference.logits, reference["labels"], is_graph=True)
    assert value == pytest.approx(float(reference[f"{name}:value"]), rel=1e-5)
    wanted = reference[f"{name}:gradient"].transpose(0, 2, 3, 1)
    assert np.abs(gradient - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_labels_ends_no_run(reference: Reference, name: str) -> None:
    labels = np.full_like(reference["labels"], IGNORED)
    value, gradient = _computed(_loss(name, reference), reference.logits, labels)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", NAMES)
def test_what_the_network_says_of_ignored_pixels_changes_nothing(
    reference: Reference, name: str
) -> None:
    logits, labels = reference.logits, reference["labels"]
    changed = np.where((labels == IGNORED)[..., None], -logits, logits)
    loss = _loss(name, reference)
    value, _ = _computed(loss, logits, labels)
    other, gradient = _computed(loss, changed, labels)
    assert other == pytest.approx(value, rel=1e-6)
    assert not gradient[labels == IGNORED].any()


@pytest.mark.parametrize("pixel_loss", ["cross-entropy", "ohem", "hardest"])
def test_the_losses_of_all_heads_are_added(reference: Reference, pixel_loss: Any) -> None:
    logits, labels = reference.logits, reference["labels"]
    loss = SegmentationLoss(pixel_loss=pixel_loss, dice_part=0.3)
    one = float(loss(labels, logits[:, None]))
    other = float(loss(labels, -logits[:, None]))
    both = float(loss(labels, np.stack([logits, -logits], axis=1)))
    assert both == pytest.approx(one + other, rel=1e-6)


@pytest.mark.parametrize(
    "fields", [{}, {"pixel_loss": "ohem"}, {"dice_part": 0.5, "lovasz_part": 0.5}]
)
def test_with_a_step_the_pixels_between_count_nowhere(
    reference: Reference, fields: dict[str, Any]
) -> None:
    logits, labels = reference.logits[:, None], reference["labels"]
    sampled = logits[:, :, 2::4, 2::4]
    found = SegmentationLoss(**fields, step=4)(labels, sampled)
    wanted = SegmentationLoss(**fields)(np.ascontiguousarray(labels[:, 2::4, 2::4]), sampled)
    assert float(found) == pytest.approx(float(wanted), rel=1e-6)


def test_ohem_keeps_a_part_of_the_batch_s_pixels(reference: Reference) -> None:
    logits, labels = reference.logits, reference["labels"]
    part = 1000.5 / labels.size
    loss = SegmentationLoss(pixel_loss="ohem", hard_pixels=part)
    assert float(loss(labels, logits[:, None])) == pytest.approx(
        float(reference["ohem_min1000:value"]), rel=1e-5
    )
