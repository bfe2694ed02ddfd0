"""The loss of several labels per image: unknown ones add nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pplcnet.tasks.multilabel.losses import MultiLabelLoss, known_labels_right, targets_of


@pytest.mark.parametrize("is_asymmetric", [False, True], ids=["bce", "asymmetric"])
def test_unknown_labels_have_no_gradient(is_asymmetric: bool) -> None:
    marks = np.array([[1, -1, 0], [-1, 1, 0]], np.int8)
    head = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    inputs = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    head.compile(keras.optimizers.SGD(1.0), MultiLabelLoss(is_asymmetric=is_asymmetric))
    before = [each.copy() for each in head.get_weights()]
    head.train_on_batch(inputs[:1], targets_of(marks[:1]))
    kernel, bias = (after - old for after, old in zip(head.get_weights(), before, strict=True))
    assert np.isfinite(kernel).all()
    assert bias[1] == 0
    assert (kernel[:, 1] == 0).all()
    assert bias[0] > 0 > bias[2]


@pytest.mark.parametrize("is_asymmetric", [False, True], ids=["bce", "asymmetric"])
@pytest.mark.parametrize("logit", [-90.0, 90.0])
def test_certain_logits_have_a_finite_gradient(is_asymmetric: bool, logit: float) -> None:
    """Where a probability rounds to 0 or 1."""
    head = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    head.compile(keras.optimizers.SGD(1e-3), MultiLabelLoss(is_asymmetric=is_asymmetric))
    head.set_weights([np.full((1, 2), logit, np.float32)])
    head.train_on_batch(np.ones((1, 1), np.float32), np.array([[1.0, 0.0]], np.float32))
    assert np.isfinite(head.get_weights()[0]).all()


def test_the_losses_by_hand() -> None:
    targets = targets_of(np.array([[1, 0, -1]], np.int8))
    logits = np.array([[0.5, 1.0, 9.0]], np.float32)
    shown, absent = 1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-1.0))
    loss = keras.ops.convert_to_numpy(MultiLabelLoss().call(targets, logits))
    assert loss == pytest.approx([-np.log(shown) - np.log(1 - absent)], rel=1e-5)
    left = absent - 0.05
    asymmetric = keras.ops.convert_to_numpy(
        MultiLabelLoss(is_asymmetric=True).call(targets, logits)
    )
    assert asymmetric == pytest.approx([-np.log(shown) - left**4 * np.log(1 - left)], rel=1e-5)
    right = keras.ops.convert_to_numpy(known_labels_right(targets, logits))
    assert right == pytest.approx([0.5])
