"""Steps of a whole detector: the original's losses, gradients and moving statistics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.detection.head import build_picodet
from pplcnet.tasks.detection.losses import DetectionLoss
from pplcnet.tasks.detection.options import DetectionOptions
from pplcnet.tasks.detection.training import PACKED, TRAINING, trained_model
from pplcnet.weights.detection_names import to_layer_names
from pplcnet.weights.mapping import load_state_dict
from tests.conformance.reference import fill, images
from tests.tasks.detection.test_targets import box_dataset

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="its gradients are taken by TensorFlow's tape"
)
RATE, DECAY, MOMENTUM = 1e-5, 4e-5, 0.9
STEP_TOLERANCES = (1e-4, 1e-3, 2e-2)
# A scalar before BatchNorm: its true gradient is 0.
NO_GRADIENT = "head.cls_align."


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "reference/picodet/training_step_xs.json").read_text())


@pytest.fixture(scope="module")
def shapes(shared: Path) -> dict[str, tuple[int, ...]]:
    """Of the tensors that a network for three classes reads, by the original's names."""
    facts = json.loads((shared / "reference/picodet/picodet_xs.json").read_text())
    return {
        name: (3, *shape[1:]) if name.startswith("head.head_cls") else tuple(shape)
        for name, shape in dict(facts["tensors"]).items()
        if name not in facts["unused"] and "distribution_project" not in name
    }


def _loaded(network: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    load_state_dict(network, to_layer_names(tensors), source="the reference")


def _names(network: keras.Model, shapes: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """The original's name of each variable, by its path: each tensor is filled with its number."""
    _loaded(
        network,
        {name: np.full(shape, at, np.float32) for at, (name, shape) in enumerate(shapes.items())},
    )
    numbers = {each.path: value_of(each).ravel()[:1] for each in network.weights}
    return {path: list(shapes)[int(number[0])] for path, number in numbers.items() if len(number)}


def _targets(setting: dict[str, Any]) -> np.ndarray:
    classes = np.where(np.array(setting["gt_mask"]) > 0, setting["gt_classes"], -1)
    return np.concatenate([setting["gt_boxes"], classes[..., None]], -1).astype(np.float32)


class Built(NamedTuple):
    """A detector for three classes, and a step of its training."""

    network: keras.Model
    model: keras.Model
    step: Callable[..., Any]
    names: dict[str, str]


@pytest.fixture(scope="module")
def built(shapes) -> Built:
    import tensorflow as tf

    network = build_picodet("picodet_xs", classes=3, image_size=192)
    model, loss = trained_model(network), DetectionLoss(3)

    @tf.function
    def step(pixels: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            parts = loss.parts(targets, model(pixels, training=True))
            total = sum(parts)
        return (*parts, total), tape.gradient(total, [v.value for v in model.trainable_variables])

    return Built(network, model, step, _names(network, shapes))


@pytest.mark.parametrize("rule", ["static", "aligned"])
def test_three_steps_are_the_original_s(reference, shapes, built: Built, rule: str) -> None:
    network, model, step, names = built
    _loaded(network, {name: fill(name, shape).astype("f4") for name, shape in shapes.items()})
    model.get_layer(PACKED).is_aligned.assign(float(rule == "aligned"))
    batch = (images(192, 192), _targets(reference["setting"]))
    variables = model.trainable_variables
    expected = reference[rule]
    kept = set(reference["no_weight_decay"])
    velocities = [np.zeros(each.shape, np.float32) for each in variables]
    for at, (wanted, tolerance) in enumerate(
        zip(expected["losses_of_3_steps"], STEP_TOLERANCES, strict=True)
    ):
        found, gradients = step(*batch)
        for value, name in zip(found, ("loss_vfl", "loss_bbox", "loss_dfl", "loss"), strict=True):
            assert float(value) == pytest.approx(wanted[name], rel=tolerance), (at, name)
        gradients = [each.numpy() for each in gradients]
        if at == 0:
            _check_norms(
                {names[v.path]: g for v, g in zip(variables, gradients, strict=True)},
                expected["gradient_norms_step0"],
            )
            _check_statistics(network, names, expected)
        for place, variable in enumerate(variables):
            weight = value_of(variable)
            decay = 0.0 if names[variable.path] in kept else DECAY
            velocities[place] = MOMENTUM * velocities[place] + gradients[place] + decay * weight
            variable.assign(weight - RATE * velocities[place])


def _check_norms(gradients: dict[str, np.ndarray], expected: dict[str, float]) -> None:
    assert gradients.keys() == expected.keys()
    off = {  # a level without any positive cell learns no distances: 0
        name: abs(float(np.linalg.norm(value)) - expected[name]) / max(expected[name], 1e-6)
        for name, value in gradients.items()
        if not (name.startswith(NO_GRADIENT) and name.endswith("pwconv.weight"))
    }
    assert max(off.values()) <= 1e-2, max(off, key=off.__getitem__)
    assert np.median(list(off.values())) <= 1e-4


def _check_statistics(network: keras.Model, names: dict[str, str], expected: Any) -> None:
    (statistics,) = (value for name, value in expected.items() if "moving" in name)
    by_name = {names[each.path]: value_of(each) for each in network.weights if each.path in names}
    assert statistics
    for name, first in statistics.items():
        np.testing.assert_allclose(by_name[name][: len(first)], first, rtol=1e-3, atol=1e-5)


def test_the_first_epochs_assign_by_place(built: Built) -> None:
    recipe = Recipe(options=DetectionOptions(), image_size=(96, 96), epochs=15)
    begin_epoch = TRAINING.objective(recipe, box_dataset()).begin_epoch
    stages = []
    for epoch in range(15):
        begin_epoch(built.model, epoch)
        stages.append(int(value_of(built.model.get_layer(PACKED).is_aligned)))
    assert stages == [0] * 5 + [1] * 10
