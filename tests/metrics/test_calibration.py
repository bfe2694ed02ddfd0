"""Temperature and calibration error: known answers, and what a user sees of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.errors import BundleError, InputError
from pplcnet.metrics.calibration import (
    TEMPERATURES,
    describe_calibration,
    expected_calibration_error,
    fit_temperature,
    judge_temperature,
    least_calibration_error,
    reliability,
)
from pplcnet.runtime.classifier import Classifier
from pplcnet.tasks.scores import softmax
from tests.conftest import write_photos


def _drawn(count: int = 20_000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from the probabilities that they stand for."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (count, classes))
    chances = softmax(logits).cumsum(axis=1)
    return logits, (generator.random((count, 1)) > chances).sum(axis=1).clip(0, classes - 1)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_what_logits_were_multiplied_by(scale: float) -> None:
    logits, labels = _drawn()
    assert fit_temperature(logits * scale, labels) == pytest.approx(scale, rel=0.05)


def test_probabilities_at_the_fitted_temperature_are_calibrated() -> None:
    logits, labels = _drawn()
    is_right = logits.argmax(axis=1) == labels
    overconfident = logits * 3
    before = expected_calibration_error(softmax(overconfident).max(axis=1), is_right)
    temperature = fit_temperature(overconfident, labels)
    after = expected_calibration_error(softmax(overconfident / temperature).max(axis=1), is_right)
    assert before > 0.1
    assert after < 0.015


@pytest.mark.parametrize("sign", [1, -1], ids=["all right", "all wrong"])
def test_the_temperature_stays_within_its_bounds(sign: int) -> None:
    logits = sign * np.eye(4) * 3
    # Nothing wrong: the likelihood has no maximum, and nothing is changed.
    expected = 1.0 if sign == 1 else TEMPERATURES[1]
    assert fit_temperature(logits, np.arange(4)) == pytest.approx(expected, rel=1e-3)


def test_the_calibration_error_by_hand() -> None:
    confidences = np.array([0.9, 0.9, 0.95, 1.0, 0.5])
    is_right = np.array([True, False, True, True, False])
    # In bins of a tenth: [0.5], and [0.9, 0.9, 0.95, 1.0] together.
    by_hand = (0.5 + abs(0.9 + 0.9 + 0.95 + 1.0 - 3)) / 5
    assert expected_calibration_error(confidences, is_right, bins=10) == pytest.approx(by_hand)
    assert expected_calibration_error(np.empty(0), np.empty(0, bool)) == 0


def test_perfect_probabilities_scatter_the_more_the_fewer_the_images() -> None:
    confidences = np.random.default_rng(1).uniform(0.3, 1, 20_000)
    few, many = least_calibration_error(confidences[:200]), least_calibration_error(confidences)
    assert 0.03 < few < 0.08
    assert many < 0.01
    assert least_calibration_error(np.ones(50)) == 0


def test_no_logits_or_bad_ones_are_refused() -> None:
    with pytest.raises(InputError, match="finite ones of some images"):
        fit_temperature(np.empty((0, 3)), np.empty(0, int))
    with pytest.raises(InputError, match="finite ones of some images"):
        fit_temperature(np.array([[np.nan, 1.0]]), np.array([0]))


def test_a_calibrated_bundle_answers_the_same_with_other_probabilities(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(common_bundle, tmp_path / "a.bundle"))
    photo = common_photos / "class_1" / "003.png"
    before = Classifier(bundle).predict(photo)
    assert main(["calibrate", str(bundle), "--validation", str(common_photos)]) == 0
    assert "temperature" in capsys.readouterr().out
    manifest = Bundle.open(bundle).manifest
    assert manifest.calibration["images"] == 36
    after = Classifier(bundle).predict(photo)
    assert after.best.label == before.best.label
    np.testing.assert_array_equal(after.logits, before.logits)
    np.testing.assert_allclose(
        after.probabilities, softmax(before.logits / np.float32(manifest.temperature))
    )
    (many,) = Classifier(bundle).predict_many([photo])
    np.testing.assert_allclose(many.probabilities, after.probabilities, rtol=1e-4)


def test_wrong_photos_and_a_damaged_temperature_are_named(
    common_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(common_bundle, tmp_path / "a.bundle"))
    others = write_photos(tmp_path / "others", classes=2)
    assert main(["calibrate", str(bundle), "--validation", str(others)]) == 2
    assert "the bundle has class_0, class_1, class_2" in capsys.readouterr().err
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["decoding"] = {"temperature": 0}
    del manifest["checksum"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="temperature is 0; it must be"):
        Bundle.open(bundle)


@pytest.mark.parametrize("limit", TEMPERATURES)
def test_a_temperature_at_its_limit_is_not_used(limit: float) -> None:
    found = judge_temperature(limit, lambda temperature: 0.1 / temperature)
    assert (found.temperature, found.refused) == (1.0, limit)
    assert found.error_before == found.error_after == 0.1
    assert "not used: the fit hit the end" in describe_calibration({**found.facts(), "images": 9})


def test_a_temperature_that_makes_calibration_worse_is_not_used() -> None:
    found = judge_temperature(1.5, lambda temperature: 0.1 * temperature)
    assert (found.temperature, found.refused) == (1.0, 1.5)
    said = describe_calibration({**found.facts(), "images": 9})
    assert "not used: the calibration error would rise to 0.150" in said


def test_a_temperature_that_helps_is_used() -> None:
    found = judge_temperature(1.23456, lambda temperature: 0.2 / temperature)
    assert (found.temperature, found.refused) == (1.2346, None)
    assert found.error_after < found.error_before
    assert "0.200 before, 0.162 after" in describe_calibration({**found.facts(), "images": 1})


def test_reliability_holds_the_calibration_error() -> None:
    generator = np.random.default_rng(3)
    confidences = generator.random(200)
    is_right = generator.random(200) < 0.6
    found = reliability(confidences, is_right)
    gaps = np.abs(found.confidence - found.accuracy) * found.counts
    assert found.counts.sum() == 200
    assert gaps.sum() / 200 == pytest.approx(expected_calibration_error(confidences, is_right))
