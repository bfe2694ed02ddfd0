"""Every detector computes what the original does: outputs, inner maps, sizes, costs, names."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pplcnet.errors import InputError, UnknownNameError
from pplcnet.models.catalog import CATALOG, DETECTORS, backbone_of
from pplcnet.models.cost import count_cost
from pplcnet.tasks.detection.head import LOGITS, build_picodet
from pplcnet.weights.detection_names import to_layer_names
from pplcnet.weights.mapping import load_state_dict
from tests.conformance.reference import fill, images, relative_difference

TOLERANCE = 1e-4
IS_TENSORFLOW = keras.backend.backend() == "tensorflow"
PUBLISHED = ["xs", "s", "m", "l"]
# The others have more channels and blocks of the same kinds.
NAMES = ["xs", *(pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED[1:])]
NAMES = NAMES if IS_TENSORFLOW else ["xs"]
ROWS = [
    name if name in ("picodet_xs", "picodet_x0_25", "picodet_l")
    else pytest.param(name, marks=pytest.mark.slow)
    for name in DETECTORS
]  # fmt: skip
# The layers whose outputs the reference has, by its names for them.
MAPS = {
    "c3": "blocks4_1_pw_conv_hardswish",
    "c4": "blocks5_5_pw_conv_hardswish",
    "c5": "blocks6_1_pw_conv_hardswish",
    "p3": "neck_top_down_blocks_1_1_pw_conv_hardswish",
    "p4": "neck_bottom_up_blocks_0_1_pw_conv_hardswish",
    "p5": "neck_bottom_up_blocks_1_1_pw_conv_hardswish",
    "p6": "neck_top",
    **{
        f"head{at}_{what}": layer
        for at in range(4)
        for what, layer in {
            "gated": f"head_conv_feat_se_{at}_conv_hardswish",
            "class_logits": f"head_head_cls{at}",
            "align_logit": f"head_cls_align_{at}_bn2",
            "distance_logits": f"head_head_reg{at}",
        }.items()
    },
}


@cache
def _facts(shared: Path, name: str) -> dict[str, Any]:
    return json.loads((shared / f"reference/picodet/picodet_{name}.json").read_text())


@cache
def _outputs(shared: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared / f"reference/picodet/picodet_{name}.npz") as outputs:
        return dict(outputs)


@cache
def _tensors(shared: Path, name: str) -> dict[str, np.ndarray]:
    """As a Paddle file holds them, second names and unused scalars included."""
    facts = _facts(shared, name)
    tensors = {key: fill(key, tuple(shape)).astype("float32") for key, shape in facts["tensors"]}
    tensors |= {second: tensors[first] for second, first in facts["aliases"].items()}
    tensors |= {key: np.float32(values) for key, values in facts["constants"].items()}
    return tensors | {key: fill(key, (1,)).astype("float32") for key in facts["unused"]}


def _load(shared: Path, name: str, size: tuple[int, int] | None) -> keras.Model:
    model = build_picodet(f"picodet_{name}", image_size=size)
    load_state_dict(model, to_layer_names(_tensors(shared, name)), source="the reference")
    return model


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_inner_maps_agree_at_every_size(shared: Path, name: str) -> None:
    expected = _outputs(shared, name)
    # One network for all sizes, as training with changing sizes has it.
    model = _load(shared, name, None)
    inside = {key: model.get_layer(layer).output for key, layer in MAPS.items()}
    whole = keras.Model(
        model.input, {"boxes": model.outputs[0], "scores": model.outputs[1], **inside}
    )
    for size in _facts(shared, name)["checks"]:
        height, width = map(int, size.split("x"))
        found = {
            key: keras.ops.convert_to_numpy(each)
            for key, each in whole(images(height, width), training=False).items()
        }
        assert relative_difference(found["boxes"], expected[f"boxes_{size}"]) <= TOLERANCE
        scores = found["scores"]
        assert scores.transpose(0, 2, 1).shape == tuple(expected[f"scores_{size}_shape"])
        best = expected[f"scores_max_{size}"]
        assert relative_difference(scores.max(axis=-1), best) <= TOLERANCE
        mean = expected[f"scores_mean_{size}"]
        assert relative_difference(scores.mean(axis=-1), mean) <= TOLERANCE
        # Two classes can be equal to the sixth digit.
        assert (scores.argmax(axis=-1) == expected[f"scores_argmax_{size}"]).mean() > 0.999
        for key in MAPS:
            corner = expected[f"{key}_{size}_first8"]
            channels_first = found[key].transpose(0, 3, 1, 2)
            assert channels_first.shape == tuple(expected[f"{key}_{size}_shape"]), key
            part = channels_first[:, : corner.shape[1], :4, :4]
            assert relative_difference(part, corner) <= TOLERANCE, key


@pytest.mark.parametrize("name", ROWS if IS_TENSORFLOW else ["picodet_xs"])
def test_parameters_and_macs_are_those_of_the_row_and_of_the_original(
    shared: Path, name: str
) -> None:
    row = DETECTORS[name]
    cost = count_cost(build_picodet(name))
    assert (cost.trainable_parameters, cost.macs) == (row.parameters, row.macs_320)
    assert backbone_of(name) is CATALOG[row.backbone]
    if name.removeprefix("picodet_") in PUBLISHED:
        facts = _facts(shared, name.removeprefix("picodet_"))
        assert cost.trainable_parameters == facts["trainable_parameters"]
        assert cost.moving_statistics == facts["moving_statistics"]
        assert cost.macs == facts["conv_macs_320"]


def test_a_fixed_size_and_any_size_answer_the_same(shared: Path) -> None:
    pixels = images(64, 96)
    fixed = _load(shared, "xs", (64, 96))(pixels, training=False)
    free = _load(shared, "xs", None)(pixels, training=False)
    for one, other in zip(fixed, free, strict=True):
        one, other = map(keras.ops.convert_to_numpy, (one, other))
        assert relative_difference(one, other) <= 1e-6


def test_training_finds_the_logits_by_name() -> None:
    model = build_picodet("picodet_x0_25", classes=3, image_size=(64, 96))
    cells = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    shapes = [tuple(model.get_layer(name).output.shape) for name in LOGITS]
    assert shapes == [(None, cells, 3), (None, cells, 1), (None, cells, 32)]
    assert [tuple(each.shape) for each in model.outputs] == [(None, cells, 4), (None, cells, 3)]


def test_every_score_begins_small() -> None:
    model = build_picodet("picodet_x0_25", classes=2, image_size=64)
    _, scores = model(images(64, 64), training=False)
    # sqrt(0.01 * 0.5): nothing is known of the place.
    assert np.abs(keras.ops.convert_to_numpy(scores) - 0.0707).max() < 0.03


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"classes": 0}, "num_classes is 0"),
        ({"image_size": 300}, "300x300; both sides .* multiples of 32"),
        ({"image_size": (320, 333)}, "320x333"),
        ({"image_size": 8192}, "image size is 8192"),
    ],
)
def test_an_argument_outside_what_is_allowed_is_named(arguments: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        build_picodet("picodet_xs", **arguments)


def test_an_unknown_detector_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="picodet_xs"):
        build_picodet("picodet_xss")
