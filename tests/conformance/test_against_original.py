"""Every network computes what the original does: outputs, sizes, costs, names of tensors."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.models.cost import count_cost
from pplcnet.models.creation import create_model
from pplcnet.weights.mapping import load_state_dict
from tests.conformance import reference

TOLERANCE = 1e-4
STAGES = ("conv1", "blocks2", "blocks3", "blocks4", "blocks5", "blocks6")
SCALES = ("x0_25", "x0_5", "x0_75", "x1_0", "x2_0", "x2_5")
VARIANTS = ("pplcnet_x0_5_no_last_conv", "pplcnet_x1_0_textline_strides")
NAMES = [f"pplcnet_{scale}" for scale in SCALES] + list(VARIANTS)
# On the slower backends one small and one large scale have to do.
if keras.backend.backend() != "tensorflow":
    NAMES = ["pplcnet_x0_25", "pplcnet_x1_0_textline_strides", "pplcnet_x2_0"]


@pytest.fixture(params=NAMES)
def original(request: pytest.FixtureRequest, shared: Path) -> reference.Reference:
    return reference.load(shared, request.param)


def test_logits_and_stages_agree_at_every_size(original: reference.Reference) -> None:
    weights = original.weights()
    for height, width in original.facts["checks"]:
        options = original.options | {"image_size": (height, width)}
        model = create_model(original.network, **options)
        load_state_dict(model, weights, source="the reference")
        stages = [model.get_layer(name).output for name in _stage_ends(model)]
        outputs = keras.Model(model.input, [model.output, *stages])(
            reference.images(height, width), training=False
        )
        logits, *maps = (keras.ops.convert_to_numpy(each) for each in outputs)

        expected = original.outputs[f"logits_{height}x{width}"]
        assert reference.relative_difference(logits, expected) <= TOLERANCE
        for stage, features in zip(STAGES, maps, strict=True):
            channels_first = features.transpose(0, 3, 1, 2)
            shape = original.outputs[f"{stage}_{height}x{width}_shape"]
            corner = original.outputs[f"{stage}_{height}x{width}_first8"]
            assert channels_first.shape == tuple(shape)
            found = channels_first[:, :8, :4, :4]
            assert reference.relative_difference(found, corner) <= TOLERANCE, stage


def _stage_ends(model: keras.Model) -> list[str]:
    activations = [layer.name for layer in model.layers if layer.name.endswith("_hardswish")]
    return [[name for name in activations if name.startswith(stage)][-1] for stage in STAGES]


def test_parameters_and_macs_equal_the_original(original: reference.Reference) -> None:
    cost = count_cost(create_model(original.network, **original.options, image_size=224))
    assert cost.trainable_parameters == original.facts["trainable_parameters"]
    assert cost.moving_statistics == original.facts["moving_statistics"]
    assert cost.macs == original.facts["conv_fc_macs_224"]


@pytest.fixture(scope="module")
def small(shared: Path) -> reference.Reference:
    return reference.load(shared, "pplcnet_x0_25")


@pytest.fixture(scope="module")
def small_model(small: reference.Reference) -> keras.Model:
    return create_model(small.network, **small.options, image_size=32)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop("blocks3.0.dw_conv.bn._mean"), "missing: blocks3.0.dw_conv.bn._mean"),
        (lambda t: t.pop("last_conv.weight"), "missing: last_conv.weight"),
        (lambda t: t.update({"head.weight": np.zeros(3)}), "left over: head.weight"),
        (
            lambda t: t.update({"fc.weight": np.zeros((1280, 9), "float32")}),
            "wrong shape: fc.weight",
        ),
        (
            lambda t: t.update({"conv1.bn.bias": np.full(8, np.nan, "float32")}),
            "not finite: conv1.bn.bias",
        ),
    ],
    ids=["missing", "missing-last-conv", "left-over", "wrong-shape", "nan"],
)
def test_a_state_dict_that_does_not_fit_is_refused_by_name(
    small: reference.Reference, small_model: keras.Model, change, complaint: str
) -> None:
    before = [each.numpy() for each in small_model.weights]
    tensors = small.weights()
    change(tensors)
    with pytest.raises(WeightsError, match=complaint.replace(".", r"\.")):
        load_state_dict(small_model, tensors, source="the reference")
    for old, variable in zip(before, small_model.weights, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
