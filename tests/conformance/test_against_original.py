"""Every network computes what the original does: outputs, sizes, costs, names of tensors."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.models.blocks import layer_name
from pplcnet.models.build import build_model
from pplcnet.models.catalog import CATALOG
from pplcnet.models.cost import count_cost
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.models.variables import value_of
from pplcnet.weights.mapping import load_state_dict
from tests.conformance import reference

TOLERANCE = 1e-4
# With random weights this network magnifies rounding: changing its input by 1e-7 changes its
# logits by 4e-4 in float32 (`test_the_wide_tolerance_is_rounding`), so that two float32
# computations of it, the reference being one, cannot agree better.
TOLERANCES = {"mobilenetv3_large_x1_0": 1e-3}
FAST = [
    "pplcnet_x0_25",
    "pplcnet_x1_0",
    "pplcnet_x2_5",
    "pplcnet_x0_5_no_last_conv",
    "pplcnet_x1_0_textline_strides",
    "pplcnetv2_small",
    "mobilenetv1_x0_25",
    "mobilenetv2_x0_25",
    "mobilenetv3_small_x0_35",
    "mobilenetv3_large_x0_35",
    "shufflenetv2_x0_33",
    "ghostnet_x0_5",
]
SLOW = [
    "pplcnet_x0_5",
    "pplcnet_x0_75",
    "pplcnet_x2_0",
    "pplcnetv2_base",
    "mobilenetv1_x1_0",
    "mobilenetv2_x0_5",
    "mobilenetv2_x1_0",
    "mobilenetv3_small_x1_25",
    "mobilenetv3_large_x1_0",
    "shufflenetv2_x0_5",
    "shufflenetv2_x1_0",
    "ghostnet_x1_0",
]
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
# On the slower backends one small and one large scale, and one of each other family.
if keras.backend.backend() != "tensorflow":
    NAMES = [
        "pplcnet_x0_25",
        "pplcnet_x1_0_textline_strides",
        "pplcnet_x2_0",
        "pplcnetv2_small",
        "mobilenetv1_x0_25",
        "mobilenetv2_x0_25",
        "mobilenetv3_small_x0_35",
        "shufflenetv2_x0_33",
        "ghostnet_x0_5",
    ]


@pytest.fixture(scope="module", params=NAMES)
def original(request: pytest.FixtureRequest, shared: Path) -> reference.Reference:
    return reference.load(shared, request.param)


@pytest.fixture(scope="module")
def loaded(original: reference.Reference) -> keras.Model:
    """For images of any size: building it takes longer than asking it at all that are compared."""
    return _load(original, None)


def _load(original: reference.Reference, image_size: tuple[int, int] | None) -> keras.Model:
    model = build_model(original.network, **original.options, image_size=image_size)
    load_state_dict(model, original.weights(), source="the reference")
    return model


def test_every_reference_is_compared(shared: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the other backends compare a selection")
    found = {path.stem for path in (shared / "reference").glob("*.json")}
    # `test_segmenters_against_original` compares those.
    assert {name for name in found if not name.startswith("seg_")} == {*FAST, *SLOW}


def test_logits_and_stages_agree_at_every_size(
    original: reference.Reference, loaded: keras.Model
) -> None:
    tolerance = TOLERANCES.get(original.name, TOLERANCE)
    stages = [key.removesuffix("_first8") for key in original.outputs if key.endswith("_first8")]
    for height, width in original.facts["checks"]:
        size = f"_{height}x{width}"
        names = [stage.removesuffix(size) for stage in stages if stage.endswith(size)]
        inside = {stage: _stage_output(loaded, stage) for stage in names}
        outputs = keras.Model(loaded.input, {"logits": loaded.output} | inside)(
            reference.images(height, width), training=False
        )
        logits = keras.ops.convert_to_numpy(outputs["logits"])
        expected = original.outputs[f"logits{size}"]
        assert reference.relative_difference(logits, expected) <= tolerance
        for stage in names:
            channels_first = keras.ops.convert_to_numpy(outputs[stage]).transpose(0, 3, 1, 2)
            shape = original.outputs[f"{stage}{size}_shape"]
            corner = original.outputs[f"{stage}{size}_first8"]
            assert channels_first.shape == tuple(shape)
            found = channels_first[:, :8, :4, :4]
            assert reference.relative_difference(found, corner) <= TOLERANCE, stage


def _stage_output(model: keras.Model, stage: str) -> keras.KerasTensor:
    """The last feature map of a stage."""
    inside = [each for each in model.layers if each.name.startswith(f"{layer_name(stage)}_")]
    return inside[-1].output


@pytest.mark.slow
def test_the_wide_tolerance_is_rounding(shared: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a matter of the reference's numbers, not of the backend")
    for name in TOLERANCES:
        original = reference.load(shared, name)
        height, width = original.facts["checks"][0]
        expected = original.outputs[f"logits_{height}x{width}"]
        images = reference.images(height, width)
        nudge = 1 + 1e-7 * np.random.default_rng(1).standard_normal(images.shape)
        model = _load(original, (height, width))
        plain, nudged = (
            keras.ops.convert_to_numpy(model(each.astype("float32"), training=False))
            for each in (images, images * nudge)
        )
        assert reference.relative_difference(nudged, plain) > TOLERANCE
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float64")
        try:
            exact = _load(original, (height, width))(images.astype("float64"), training=False)
        finally:
            keras.config.set_dtype_policy(before)
        # Our side computed without rounding leaves the rounding of the reference alone.
        exact = keras.ops.convert_to_numpy(exact)
        assert reference.relative_difference(exact, expected) <= 2e-4


@pytest.mark.parametrize(
    "name", ["pplcnetv2_small", pytest.param("pplcnetv2_base", marks=pytest.mark.slow)]
)
def test_the_deployed_form_answers_the_same(shared: Path, name: str) -> None:
    original = reference.load(shared, name)
    height, width = original.facts["checks"][0]
    trained = _load(original, (height, width))
    deployed = to_deploy_form(trained)
    assert len(deployed.layers) < len(trained.layers)
    images = reference.images(height, width)
    logits = [
        keras.ops.convert_to_numpy(model(images, training=False)) for model in (trained, deployed)
    ]
    assert reference.relative_difference(*logits) <= TOLERANCE
    expected = original.outputs[f"logits_{height}x{width}"]
    assert reference.relative_difference(logits[1], expected) <= TOLERANCE


def test_parameters_and_macs_equal_the_original(
    original: reference.Reference, loaded: keras.Model
) -> None:
    norms = [each for each in loaded.layers if isinstance(each, keras.layers.BatchNormalization)]
    moving = sum(value_of(each).size for norm in norms for each in norm.non_trainable_weights)
    assert moving == original.facts["moving_statistics"]
    trained = sum(value_of(each).size for each in loaded.trainable_variables)
    # The original also counts the merged convolutions that training does not use.
    assert trained + original.merged_parameters == original.facts["trainable_parameters"]
    row = CATALOG.get(original.name)
    if row is not None and row.family != "pplcnetv2":
        # `test_catalog` builds it with a thousand classes, and finds what its row says.
        width, classes = loaded.layers[-1].kernel.shape
        macs = row.macs_224 - width * (1000 - classes)
    else:
        macs = count_cost(build_model(original.network, **original.options, image_size=224)).macs
    assert macs == original.facts["conv_fc_macs_224"]


@pytest.fixture(scope="module")
def small(shared: Path) -> reference.Reference:
    return reference.load(shared, "pplcnet_x0_25")


@pytest.fixture(scope="module")
def small_model(small: reference.Reference) -> keras.Model:
    return build_model(small.network, **small.options, image_size=32)


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
    before = [value_of(each) for each in small_model.weights]
    tensors = small.weights()
    change(tensors)
    with pytest.raises(WeightsError, match=complaint.replace(".", r"\.")):
        load_state_dict(small_model, tensors, source="the reference")
    for old, variable in zip(before, small_model.weights, strict=True):
        np.testing.assert_array_equal(old, value_of(variable))
