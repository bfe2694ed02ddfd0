"""Segmentation networks compute what the originals do: logits, classes, inner maps, costs."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.errors import InputError, UnknownNameError
from pplcnet.models.blocks import layer_name
from pplcnet.models.catalog import CATALOG, SEGMENTERS, backbone_of
from pplcnet.models.cost import count_cost
from pplcnet.models.resizing import AdaptiveAveragePool, resize, resize_sampled
from pplcnet.models.variables import value_of
from pplcnet.tasks.segmentation.head import build_segmenter, with_training_heads
from pplcnet.tasks.segmentation.resizing import resize as resize_in_numpy
from pplcnet.weights.mapping import load_state_dict
from pplcnet.weights.segmentation_names import to_layer_names
from tests.conformance import reference

TOLERANCE = 1e-4
IS_TENSORFLOW = keras.backend.backend() == "tensorflow"
FAST = [
    "mobileseg_pplcnet_x0_5",
    "deeplabv3p_pplcnet_x0_25_align_corners",
    "lraspp_pplcnet_x0_5",
]
SLOW = [
    "mobileseg_pplcnet_x1_0",
    "mobileseg_fused_pplcnet_x0_5",
    "mobileseg_mobilenetv3_large_x1_0",
    "deeplabv3p_pplcnet_x0_5",
    "deeplabv3p_pplcnet_x1_0",
    "lraspp_pplcnet_x1_0",
]
# The other backends compare one of each head.
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
NAMES = NAMES if IS_TENSORFLOW else FAST
# With random weights this network magnifies rounding (`test_the_wide_tolerance_is_rounding`).
TOLERANCES = {"mobileseg_mobilenetv3_large_x1_0": 1e-3}
LARGE = 400
"""Pixels along a side; larger inputs are compared by the slow tests."""
STAGES = {
    "pplcnet": tuple(
        f"blocks{stage}_{last}_pw_conv_hardswish"
        for stage, last in ((3, 1), (4, 1), (5, 5), (6, 1))
    ),
    "mobilenetv3": ("blocks_2_add", "blocks_5_add", "blocks_11_add", "blocks_14_add"),
}


class Compared:
    """A network with the reference's weights, and everything inside that the reference has."""

    def __init__(self, shared: Path, name: str) -> None:
        self.tolerance = TOLERANCES.get(name, TOLERANCE)
        self.original = reference.load(shared, f"seg_{name}")
        self.name = name.removesuffix("_align_corners")
        self.align_corners = self.name != name
        network = build_segmenter(
            self.name,
            classes=self.original.facts["num_classes"],
            image_size=None,
            align_corners=self.align_corners,
        )
        self.trained = with_training_heads(network)
        tensors = to_layer_names(self.original.weights(), with_training_heads=True)
        load_state_dict(self.trained, tensors, source="the reference")
        size = "_{}x{}_first8".format(*self.original.facts["checks"][0])
        self.inside = {
            key.removesuffix(size): self._tensor(key.removesuffix(size))
            for key in self.original.outputs
            if key.endswith(size)
        }
        self.whole = keras.Model(network.input, {"logits": network.output, **self.inside})

    def _tensor(self, key: str) -> keras.KerasTensor:
        if key.startswith("features"):
            family = backbone_of(self.name).family
            return self.trained.get_layer(STAGES[family][int(key[-1])]).output
        if key.endswith(":logits"):
            return self.trained.outputs[int(key.split(":")[0].split(".")[1])]
        if key in ("head.decoder.conv", "lraspp_head.conv_out"):
            return self.trained.outputs[0]
        name = layer_name(key)
        inside = [
            layer
            for layer in self.trained.layers
            if f"{layer.name}_".startswith(f"{name}_")
            and not layer.name.endswith(("_resize", "_concat"))
        ]
        return inside[-1].output

    def compare(self, height: int, width: int) -> None:
        expected, size = self.original.outputs, f"_{height}x{width}"
        outputs = self.whole(reference.images(height, width), training=False)
        logits = resize(outputs["logits"], (height, width), align_corners=self.align_corners)
        logits = _channels_first(logits)
        limit = self.tolerance * float(expected[f"logits{size}_absmax"])
        parts = {
            "corner": logits[:, :, :8, :8],
            "far_corner": logits[:, :, -8:, -8:],
            "every16": logits[:, :, ::16, ::16],
        }
        for part, found in parts.items():
            assert np.abs(found - expected[f"logits{size}_{part}"]).max() <= limit, part
        assert abs(np.abs(logits).max() - expected[f"logits{size}_absmax"]) <= limit
        assert np.abs(logits.mean((2, 3)) - expected[f"logits{size}_mean"]).max() <= limit
        assert np.abs(logits.std((2, 3)) - expected[f"logits{size}_std"]).max() <= limit
        is_clear = expected[f"margin{size}_every4"] > limit
        classes = logits.argmax(1)[:, ::4, ::4]
        assert (classes == expected[f"argmax{size}_every4"])[is_clear].all()
        assert is_clear.mean() > 0.9
        for key in self.inside:
            found = _channels_first(outputs[key])
            assert found.shape == tuple(expected[f"{key}{size}_shape"]), key
            corner = expected[f"{key}{size}_first8"]
            found = found[:, : corner.shape[1], :4, :4]
            assert reference.relative_difference(found, corner) <= self.tolerance, key


@pytest.mark.slow
def test_the_wide_tolerance_is_rounding(shared: Path) -> None:
    pixels = reference.images(128, 256)
    for name in TOLERANCES:
        found = []
        for precision in ("float32", "float64"):
            before = keras.config.dtype_policy()
            keras.config.set_dtype_policy(precision)
            try:
                outputs = Compared(shared, name).whole(pixels.astype(precision), training=False)
            finally:
                keras.config.set_dtype_policy(before)
            found.append({key: _channels_first(each) for key, each in outputs.items()})
        single, double = found
        differences = [reference.relative_difference(single[key], double[key]) for key in single]
        assert max(differences) > TOLERANCE


def _channels_first(features: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(features).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module", params=NAMES)
def compared(request: pytest.FixtureRequest, shared: Path) -> Compared:
    return Compared(shared, request.param)


def test_every_reference_is_compared(shared: Path) -> None:
    found = {path.stem.removeprefix("seg_") for path in (shared / "reference").glob("seg_*_*.json")}
    assert found == {*FAST, *SLOW}


def test_logits_classes_and_inner_maps_agree_at_every_size(compared: Compared) -> None:
    for height, width in compared.original.facts["checks"]:
        if height < LARGE:
            compared.compare(height, width)


@pytest.mark.slow
def test_they_agree_on_large_images(compared: Compared) -> None:
    for height, width in compared.original.facts["checks"]:
        if height >= LARGE:
            compared.compare(height, width)


def test_parameters_and_statistics_are_the_originals(compared: Compared) -> None:
    facts, network = compared.original.facts, compared.trained
    trainable = sum(value_of(each).size for each in network.trainable_variables)
    assert trainable == facts["trainable_parameters"]
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    moving = sum(value_of(each).size for norm in norms for each in norm.non_trainable_weights)
    assert moving == facts["moving_statistics"]


ROWS = [
    pytest.param(name, marks=() if name == "lraspp_pplcnet_x0_25" else pytest.mark.slow)
    for name in SEGMENTERS
]


@pytest.mark.parametrize("name", ROWS)
def test_parameters_and_macs_are_those_of_the_row(name: str) -> None:
    row = SEGMENTERS[name]
    cost = count_cost(build_segmenter(name))
    assert (cost.trainable_parameters, cost.macs) == (row.parameters, row.macs_512x1024)
    assert backbone_of(name) is CATALOG[row.backbone]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_macs_are_the_originals(shared: Path, name: str) -> None:
    facts = reference.load(shared, f"seg_{name}").facts
    for size, macs in facts["conv_macs"].items():
        height, width = map(int, size.split("x"))
        network = build_segmenter(
            name.removesuffix("_align_corners"),
            classes=facts["num_classes"],
            image_size=(height, width),
        )
        assert count_cost(network).macs == macs


def test_a_fixed_size_and_any_size_answer_the_same(shared: Path) -> None:
    pixels = reference.images(65, 97)
    fixed, free = (
        build_segmenter("mobileseg_pplcnet_x0_25", classes=3, image_size=size)
        for size in ((65, 97), None)
    )
    fixed.set_weights(free.get_weights())
    found = [keras.ops.convert_to_numpy(each(pixels, training=False)) for each in (fixed, free)]
    assert found[0].shape == (2, 9, 13, 3)
    assert reference.relative_difference(*found) <= 1e-5


def test_resizing_and_pooling_are_the_originals(shared: Path) -> None:
    with np.load(shared / "reference" / "seg_resize_and_pool.npz") as cases:
        compared = [key for key in cases if not key.endswith((":x", ":nearest"))]
        assert len(compared) == 27
        for key in compared:
            place, kind = key.split(":")
            features = cases[f"{place}:x"].transpose(0, 2, 3, 1)
            if place.startswith("pool"):
                found = [AdaptiveAveragePool(int(kind.removeprefix("bins")))(features)]
            else:
                size = tuple(map(int, place.split("_")[-1].split("x")))
                found = [resize(features, size, align_corners=kind.endswith("True"))]
                if kind.endswith("False"):
                    parts = resize_sampled(features, size, 3)
                    np.testing.assert_allclose(parts, found[0][:, 1::3, 1::3], rtol=0, atol=1e-5)
                    found.append(resize_in_numpy(features[0], size)[np.newaxis])
            for each in found:
                # Results above 2000 pixels are stored every fourth row and column.
                step = 4 if each.shape[1] * each.shape[2] > 2000 else 1
                part = _channels_first(each)[:, :, ::step, ::step]
                np.testing.assert_allclose(part, cases[key], rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"classes": 0}, "num_classes is 0"),
        ({"classes": 256}, "from 1 to 255"),
        ({"image_size": 8192}, "image size is 8192"),
        ({"align_corners": True}, "no option 'align_corners'"),
    ],
)
def test_an_argument_outside_what_is_allowed_is_named(arguments: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        build_segmenter("mobileseg_pplcnet_x0_25", **arguments)


def test_an_unknown_network_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="mobileseg_pplcnet_x0_5"):
        build_segmenter("mobileseg_pplcnet_x05")
