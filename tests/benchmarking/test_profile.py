"""The profile: every operator's time with its work, and both against the machine's limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pplcnet.benchmarking import layer_times
from pplcnet.benchmarking.layer_times import LayerTime, time_layers
from pplcnet.benchmarking.layer_work import count_work
from pplcnet.benchmarking.limits import Limits
from pplcnet.benchmarking.profile import by_kind, describe_profile, profile, relate
from pplcnet.benchmarking.subjects import Subject, load_subject
from pplcnet.cli.main import main
from pplcnet.errors import InputError
from pplcnet.runtime.engines.engine import installed_engines

LIMITS = Limits(1, {"float32": 100.0, "bfloat16": 1000.0}, 10.0, 100.0)


@pytest.fixture(autouse=True)
def _few_runs(quick_limits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_times, "RUNS", 2)


@pytest.fixture(scope="module")
def subject(common_bundle: Path) -> Subject:
    return load_subject(str(common_bundle), (32, 32))


def test_the_work_of_the_operators_is_that_of_the_network(subject: Subject) -> None:
    work = count_work(subject.contents["float32"])
    assert sum(each.macs for name, each in work.items() if name != "logits") == subject.macs
    weights = sum(each.weights for name, each in work.items() if name != "logits")
    assert weights == pytest.approx(subject.parameters, rel=0.1)  # without biases
    assert work["logits"] == work["fc"]
    assert work["conv1_conv"].kind == "convolution 3x3"
    assert work["blocks5_1_dw_conv_conv"].kind == "depthwise 5x5"
    assert work["blocks5_1_pw_conv_conv"].kind == "pointwise"
    # Input 32x32x3, output 16x16 of 8 channels; kernel and bias are counted as read too.
    read, written = 32 * 32 * 3, 16 * 16 * 8
    assert work["conv1_conv"].activations == read + written


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_each_engine_names_its_operators_and_primitives(engine: str, subject: Subject) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    image = np.zeros((1, 32, 32, 3), np.uint8)
    times = time_layers(engine, subject.contents["float32"], image, precision="float32", threads=1)
    names = {each.name for each in times}
    assert len(names) == len(times) > 20
    assert any(name.startswith("blocks5_1_pw_conv_conv") for name in names)
    assert all(each.microseconds >= 0 and each.primitive for each in times)


def test_the_roofline_is_arithmetic_or_traffic(subject: Subject) -> None:
    work = count_work(subject.contents["float32"])
    times = [
        LayerTime("blocks5_1_pw_conv_conv", "Convolution", "brgconv_avx512_1x1_f32", 30.0),
        LayerTime("logits", "FullyConnected", "brgemm_avx512_amx_bf16", 10.0),
        LayerTime("a_reorder", "Reorder", "jit_uni_f32", 60.0),
    ]
    pointwise, classifier, reorder = relate(times, work, LIMITS)
    own = work["blocks5_1_pw_conv_conv"]
    traffic = 4 * (own.weights / 10.0 + own.activations / 100.0) / 1e3
    assert pointwise.roofline_us == pytest.approx(
        max(2 * own.macs / 100.0 / 1e3, traffic), abs=0.05
    )
    assert classifier.roofline_us == pytest.approx(
        2 * (work["fc"].weights / 10.0 + work["fc"].activations / 100.0) / 1e3, abs=0.05
    )
    assert (reorder.kind, reorder.roofline_us, reorder.share) == ("Reorder", 0.0, 0.6)
    assert [each.kind for each in by_kind([pointwise, classifier, reorder])] == [
        "Reorder", "pointwise", "matrix product",
    ]  # fmt: skip


def test_the_command_writes_a_table_and_json(
    common_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "profile"
    given = ["benchmark", str(common_bundle), "--profile", "--engine", "onnxruntime"]
    assert main([*given, "--threads", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "roofline" in printed
    facts = json.loads((out / "profile.json").read_text())
    assert facts["runs_in"] == "onnxruntime float32"
    assert sum(layer["share"] for layer in facts["layers"]) == pytest.approx(1.0, abs=0.01)
    assert (out / "profile.txt").read_text() == printed


def test_a_precision_that_is_not_there_is_named(subject: Subject) -> None:
    with pytest.raises(InputError, match="has no int8 network"):
        profile(subject, engine="onnxruntime", precision="int8", threads=1)


def test_the_table_has_every_operator_and_every_kind(subject: Subject) -> None:
    found = profile(subject, engine="onnxruntime", threads=1)
    lines = describe_profile(found).splitlines()
    assert len(lines) == 1 + len(found.layers) + 1 + len(by_kind(found.layers)) + 2
