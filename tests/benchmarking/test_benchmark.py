"""`pplcnet benchmark`: what it counts, writes and refuses. How fast anything is, is not tested."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pplcnet.benchmarking import comparison as comparing
from pplcnet.benchmarking.comparison import Comparison, Measurement, compare
from pplcnet.benchmarking.comparison_files import describe, write_comparison
from pplcnet.benchmarking.limits import Limits
from pplcnet.benchmarking.others.worker_process import OtherProcess
from pplcnet.benchmarking.subjects import Subject, default_names, load_subject
from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.errors import BundleError, InputError, UnknownNameError
from pplcnet.exporting.timing import Latency
from pplcnet.models.catalog import CATALOG, DETECTORS, SEGMENTERS
from pplcnet.runtime.engines.engine import installed_engines, open_engine
from pplcnet.system.processor import available_cores


@pytest.mark.parametrize("name", ["pplcnet_x0_25", "shufflenetv2_x0_25"])
def test_what_is_counted_in_the_exported_network_is_what_the_catalog_says(name: str) -> None:
    subject = load_subject(name, (224, 224))
    assert subject.macs == CATALOG[name].macs_224
    # BatchNorm's scales have gone into the kernels.
    assert 0.9 < subject.parameters / CATALOG[name].parameters <= 1


def test_detectors_and_segmenters_are_measured_by_their_names() -> None:
    detector = load_subject("picodet_x0_25")
    assert detector.image_size == (320, 320)
    assert detector.macs == DETECTORS["picodet_x0_25"].macs_320
    segmenter = load_subject("mobileseg_pplcnet_x0_25")
    assert segmenter.image_size == (512, 1024)
    assert segmenter.macs == SEGMENTERS["mobileseg_pplcnet_x0_25"].macs_512x1024
    assert load_subject("lraspp_pplcnet_x0_25", (64, 96)).image_size == (64, 96)


@pytest.mark.usefixtures("quick_limits")
def test_networks_and_bundles_are_measured_and_written(
    common_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["benchmark", "pplcnet_x0_25", str(common_bundle)]
    assert main([*command, "--rounds", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (out / "benchmark.txt").read_text().strip()
    facts = json.loads((out / "benchmark.json").read_text())
    ways = {each["way"] for each in facts["measurements"]}
    assert {"onnxruntime float32", "openvino float32"} <= ways
    networks = {each["network"] for each in facts["measurements"]}
    assert networks == {"pplcnet_x0_25", str(common_bundle)}
    for each in facts["measurements"]:
        assert 0 < each["median_ms"] <= each["p90_ms"]
        assert each["images_per_second"] > 0
        is_bundle = each["network"] == str(common_bundle)
        assert (each["reported_top1"] is None) == is_bundle
    assert facts["limits"]["gflops"]["float32"] > 0
    assert facts["threads"] == available_cores()
    assert facts["versions"]["onnxruntime"]
    with Image.open(out / "benchmark.png") as image:
        assert image.width > 400
    assert (out / "benchmark.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(("side", "is_shown"), [(224, True), (64, False)])
def test_reported_accuracies_are_shown_at_their_own_size_alone(side: int, is_shown: bool) -> None:
    subject = Subject("pplcnet_x0_25", CATALOG["pplcnet_x0_25"], {}, (side, side), 1, 1)
    limits = Limits(1, {"float32": 100.0}, 5.0, 10.0)
    measured = comparing.measurement_of(subject, "openvino float32", Latency(1.0, 1.0), 9.0, limits)
    assert (measured.reported_top1 is not None) == is_shown


@pytest.fixture(scope="module")
def framework() -> Iterator[OtherProcess]:
    process = OtherProcess("tf-function", threads=1)
    yield process
    process.close()


@pytest.mark.usefixtures("quick_limits")
def test_another_framework_is_measured_in_its_own_process(framework: OtherProcess) -> None:
    assert "TensorFlow" in framework.version
    assert framework.load("pplcnet_x0_25", (32, 32))
    assert not framework.load("no network", (32, 32))
    assert framework.run("pplcnet_x0_25") > 0
    subject = load_subject("pplcnet_x0_25", (32, 32))
    comparison = compare([subject], threads=1, rounds=1, others={"tf-function": framework})
    (other,) = [each for each in comparison.measurements if each.way == "tf-function"]
    assert other.images_per_second is None
    assert other.of_limit is None
    assert comparison.facts["versions"]["tf-function"] == framework.version


def test_a_framework_that_is_killed_while_it_is_measured_is_named(framework: OtherProcess) -> None:
    os.kill(framework.pid, signal.SIGKILL)
    for _ in range(2):  # through a pipe that is still open, and through one that is closed
        with pytest.raises(InputError, match=r"tf-function .* ended .* \(exit code -9\)"):
            framework.run("pplcnet_x0_25")


@pytest.mark.usefixtures("quick_limits")
def test_a_framework_that_dies_while_working_is_one_clear_error(
    common_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dying = tmp_path / "python"
    dying.write_text('#!/bin/sh\necho \'{"version": "1"}\'\necho out of memory >&2\n')
    dying.chmod(0o755)
    command = ["benchmark", str(common_bundle), "--compare", "paddle", "--rounds", "1"]
    given = ["--python", f"paddle={dying}", "--out", str(tmp_path / "out")]
    assert main([*command, *given]) == 2
    error = capsys.readouterr().err
    assert f"error: paddle (paddle in {dying}) ended while working" in error
    assert "its last output: out of memory" in error
    assert not (tmp_path / "out").exists()


def _comparison() -> Comparison:
    measurements = [
        Measurement(row.name, row.family, way, row.macs_224 / speed, row.macs_224 / speed, 9.0,
                    row.macs_224, row.parameters, row.reported_top1, 0.5)
        for way, speed in (("paddle", 4e7), ("onnxruntime float32", 8e7),
                           ("openvino float32", 9e7), ("openvino bfloat16", 2e8))
        for row in (CATALOG[name] for name in default_names())
    ]  # fmt: skip
    return Comparison(measurements, Limits(2, {"float32": 100.0}, 30.0, 60.0),
                      {"processor": "a processor", "threads": 2})  # fmt: skip


def test_the_plot_has_a_line_for_each_family(tmp_path: Path) -> None:
    written = {path.name: path for path in write_comparison(_comparison(), tmp_path)}
    text = written["benchmark.svg"].read_text()
    for title in ("PP-LCNet", "MobileNetV3 small", "GhostNet", "paddle", "openvino float32",
                  "openvino bfloat16"):  # fmt: skip
        assert f"<!-- {title} -->" in text
    # Of two engines in float32 the faster is drawn.
    assert "<!-- onnxruntime float32 -->" not in text


def test_the_table_has_every_measurement_and_the_limits() -> None:
    comparison = _comparison()
    lines = describe(comparison).splitlines()
    assert len(lines) == len(comparison.measurements) + 2
    assert "float32 100 GFLOP/s" in lines[-1]


def test_the_limit_is_arithmetic_or_reading_the_weights() -> None:
    limits = Limits(2, {"float32": 100.0, "bfloat16": 200.0}, 5.0, 10.0)
    assert limits.least_ms(50_000_000, 1000, "float32") == pytest.approx(1.0)
    assert limits.least_ms(50_000_000, 1000, "bfloat16") == pytest.approx(0.5)
    assert limits.least_ms(1000, 25_000_000, "float32") == pytest.approx(10.0)
    assert limits.least_ms(1000, 1000, "int8") is None


def test_wrong_input_is_named(common_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean pplcnet_x1_0"):
        load_subject("pplcnet_x10", (32, 32))
    keras_only = Bundle.open(common_bundle).manifest
    folder = tmp_path / "any.bundle"
    folder.mkdir()
    del keras_only.variants["onnx"]
    (folder / "manifest.json").write_text(keras_only.to_json())
    with pytest.raises(BundleError, match="pplcnet export"):
        load_subject(str(folder), (32, 32))
    subject = load_subject("pplcnet_x0_25", (32, 32))
    with pytest.raises(InputError, match="this process may use"):
        compare([subject], threads=1000)
    with pytest.raises(UnknownNameError, match="did you mean paddle"):
        OtherProcess("padle", threads=1)
    with pytest.raises(InputError, match="cannot be started"):
        OtherProcess("paddle", threads=1, python=str(tmp_path / "no_python"))


def test_a_framework_that_is_not_installed_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(InputError, match=r"paddle \(.*python\) ended while starting"):
        OtherProcess("paddle", threads=1, python=str(broken))


def test_a_way_that_an_engine_refuses_is_reported_and_skipped(
    common_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(engine: str, content: bytes, *, precision: str, **options):
        if precision != "float32":
            raise BundleError(f"OpenVINO has no {precision} kernels")
        return open_engine(engine, content, precision=precision, **options)

    subject = load_subject(str(common_bundle), (32, 32))
    subject = subject._replace(contents={**subject.contents, "int8": subject.contents["float32"]})
    monkeypatch.setattr(comparing, "open_engine", refusing)
    said: list[str] = []
    ways = [way for way, _ in comparing.open_ways(subject, 1, 1, said.append)]
    assert "onnxruntime float32" in ways
    if "openvino" in installed_engines():
        assert "openvino int8" not in ways
        assert any("openvino int8: OpenVINO has no int8 kernels" in line for line in said)
