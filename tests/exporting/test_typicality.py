"""What is typical of the training photos: fitted, kept in the bundle, and said by predictions."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import find_images
from pplcnet.errors import BundleError
from pplcnet.exporting.calibrating import calibrate
from pplcnet.exporting.typicality import fit_typicality
from pplcnet.runtime.embedding import unit_length
from pplcnet.runtime.model import Model
from pplcnet.runtime.typicality import (
    DISTANCE,
    FACTS,
    NEIGHBOUR,
    TYPICALITY_FILE,
    Typicality,
    read_typicality,
)
from pplcnet.tasks.scores import log_sum_exp
from pplcnet.tasks.task import EMBEDDING, Outputs

SIZE = 48


def _typical(count: int, seed: int) -> np.ndarray:
    """Vectors in a subspace of five dimensions, with a little noise around it."""
    basis = np.random.default_rng(0).normal(size=(5, SIZE))
    generator = np.random.default_rng(seed)
    inside = generator.normal(size=(count, 5)) + 3
    return (inside @ basis + 0.2 * generator.normal(size=(count, SIZE))).astype(np.float32)


def _strange(count: int) -> np.ndarray:
    return np.random.default_rng(9).normal(size=(count, SIZE)).astype(np.float32)


def _energy(outputs: Outputs) -> np.ndarray:
    return log_sum_exp(outputs["logits"])


def _outputs(vectors: np.ndarray, seed: int = 0, level: float = 5.0) -> dict[str, np.ndarray]:
    """Embeddings, and logits that speak for something as strongly as `level` says."""
    logits = np.random.default_rng(seed).normal(level, 1, (len(vectors), 4)).astype(np.float32)
    return {EMBEDDING: vectors, "logits": logits}


def _fit(training: np.ndarray, validation: np.ndarray) -> Typicality:
    fitted = fit_typicality(training, _outputs(validation), _energy)
    assert fitted is not None
    return fitted


def _each(outputs: dict[str, np.ndarray], fitted: Typicality) -> np.ndarray:
    images = range(len(outputs[EMBEDDING]))
    return np.array(
        [fitted.of({name: each[at] for name, each in outputs.items()}, _energy) for at in images]
    )


def test_images_like_the_validation_are_as_typical_as_promised() -> None:
    fitted = _fit(_typical(300, 1), _typical(900, 2))
    found = _each(_outputs(_typical(900, 3), seed=3), fitted)
    assert found.min() > 0
    assert found.max() <= 1
    for level in (0.05, 0.2, 0.5):
        assert (found <= level).mean() == pytest.approx(level, abs=0.06)
    assert _each(_outputs(_strange(50)), fitted).max() == 1 / 901


def test_each_measure_alone_can_call_an_image_strange() -> None:
    fitted = _fit(_typical(300, 1), _typical(300, 2))
    assert _each(_outputs(_typical(50, 3), level=-5), fitted).max() == 1 / 301
    # The mean of the training images is like none of them, but near to all.
    middle = np.repeat(unit_length(_typical(300, 1)).mean(axis=0)[np.newaxis], 2, axis=0)
    measured = fitted.measures(_outputs(middle), _energy)
    usual = fitted.measures(_outputs(_typical(300, 2)), _energy)
    assert (measured[DISTANCE] > np.median(usual[DISTANCE])).all()


def test_the_tenth_nearest_training_image_is_found_along_the_directions() -> None:
    training = _typical(300, 1)
    fitted = _fit(training, training[:10])
    found = fitted.measures(_outputs(_typical(20, 5)), None)
    cosines = unit_length(_typical(20, 5)) @ unit_length(training).T
    np.testing.assert_allclose(found[NEIGHBOUR], np.sort(cosines)[:, -10], atol=0.01)
    few = _fit(training[:4], training[:10]).measures(_outputs(training[:4]), None)
    assert set(few) == {DISTANCE, NEIGHBOUR}


def test_a_task_without_an_energy_goes_without() -> None:
    fitted = fit_typicality(_typical(300, 1), {EMBEDDING: _typical(300, 2)}, None)
    assert fitted is not None
    assert set(fitted.scales) == {DISTANCE, NEIGHBOUR}
    outputs = {EMBEDDING: _strange(1)[0]}
    assert fitted.of(outputs, None) == 1 / 301


def test_distances_are_those_of_the_whole_covariance() -> None:
    vectors = _typical(300, 1)
    fitted = _fit(vectors, vectors[:10])
    covariance = (
        fitted.rest * np.eye(SIZE)
        + fitted.directions.T
        @ np.diag(fitted.variances - np.float32(fitted.rest))
        @ fitted.directions
    )
    offsets = (unit_length(_strange(20)) - fitted.mean).astype(np.float64)
    expected = np.einsum("nd,de,ne->n", offsets, np.linalg.inv(covariance), offsets)
    found = fitted.measures(_outputs(7 * _strange(20)), _energy)
    np.testing.assert_allclose(found[DISTANCE], -expected, rtol=1e-3)


def test_many_validation_images_are_kept_as_quantiles() -> None:
    fitted = _fit(_typical(50, 1), _typical(3000, 2))
    assert len(fitted.distances) == 1000
    assert (np.diff(fitted.distances) >= 0).all()


def test_what_cannot_be_fitted_is_none() -> None:
    some = _typical(5, 1)
    assert fit_typicality(some[:1], _outputs(some), _energy) is None
    assert fit_typicality(np.repeat(some[:1], 4, axis=0), _outputs(some), _energy) is None
    assert fit_typicality(some, _outputs(some[:0]), _energy) is None
    assert fit_typicality(some[:2], _outputs(some[2:]), _energy) is not None
    alike = fit_typicality(some, _outputs(np.repeat(some[:1], 3, axis=0)), _energy)
    assert alike is not None
    assert np.isfinite(alike.distances).all()


@pytest.fixture(scope="module")
def calibrated(
    common_bundle: Path, common_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("typical") / "x.bundle"
    shutil.copytree(common_bundle, path)
    photos = list(find_images(common_photos))
    calibrate(path, Dataset.open(common_photos), training=photos[::2])
    return path


def test_predictions_say_how_typical_a_photo_is(
    calibrated: Path, common_bundle: Path, common_photos: Path
) -> None:
    photos = list(find_images(common_photos))[:4]
    with Model(calibrated) as model, Model(common_bundle) as before:
        assert model.knows_typical
        assert not before.knows_typical
        found = [model.predict(photo) for photo in photos]
        together = list(model.predict_many([*photos, b"no photo"]))
        for one, many, photo in zip(found, together, photos, strict=False):
            assert one.typicality is not None
            assert one.typicality == many.typicality
            assert 1 / 37 <= one.typicality <= 1
            np.testing.assert_allclose(one.logits, before.predict(photo).logits, atol=1e-5)
        assert together[-1].typicality is None
        assert not together[-1].is_strange
        assert before.predict(photos[0]).typicality is None
        outputs = model.run(np.zeros((1, 32, 32, 3), np.uint8))
        assert list(outputs) == ["logits"]


def test_the_manifest_says_what_it_was_measured_on(calibrated: Path, common_photos: Path) -> None:
    facts = Bundle.open(calibrated).manifest.calibration[FACTS]
    assert facts["training_images"] == 18
    assert len(facts["distances"]) == 36
    # Calibrated again without the training photos, what is known stays.
    content = Bundle.open(calibrated).read(TYPICALITY_FILE)
    again = calibrate(calibrated, Dataset.open(common_photos))
    assert again.manifest.calibration[FACTS] == facts
    assert again.read(TYPICALITY_FILE) == content


def test_a_bundle_from_before_goes_by_the_distance_alone(
    calibrated: Path, common_photos: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(calibrated, tmp_path / "x.bundle"))
    bundle = Bundle.open(path)
    now = read_typicality(bundle)
    assert now is not None
    before = {
        "mean": now.mean, "directions": now.directions, "variances": now.variances,
        "rest": np.array(now.rest),
    }  # fmt: skip
    buffer = io.BytesIO()
    np.savez(buffer, **before)
    facts = {"training_images": 18, "distances": [1.0, 2.0, 1e6]}
    calibration = {**bundle.manifest.calibration, FACTS: facts}
    update_bundle(bundle, files={TYPICALITY_FILE: buffer.getvalue()}, calibration=calibration)
    with Model(path) as model:
        assert model.predict(next(iter(find_images(common_photos)))).typicality == 2 / 4


def _file(**changes: np.ndarray) -> bytes:
    arrays = {
        "mean": np.zeros(1280), "directions": np.zeros((2, 1280)), "variances": np.ones(2),
        "rest": np.array(1.0), "neighbours": np.zeros((4, 2)),
    }  # fmt: skip
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays | changes))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"no arrays",
        _file(mean=np.zeros(3)),
        _file(directions=np.zeros((3, 1280))),
        _file(variances=np.array([1.0, -1.0])),
        _file(variances=np.zeros((2, 1))),
        _file(rest=np.array(0.0)),
        _file(rest=np.array(np.nan)),
        _file(neighbours=np.zeros((4, 3))),
        _file(neighbours=np.zeros((0, 2))),
        _file(neighbours=np.full((4, 2), np.inf)),
    ],
)
def test_a_file_that_does_not_fit_is_a_bundle_error(
    calibrated: Path, tmp_path: Path, content: bytes
) -> None:
    path = Path(shutil.copytree(calibrated, tmp_path / "x.bundle"))
    update_bundle(Bundle.open(path), files={TYPICALITY_FILE: content})
    with pytest.raises(BundleError, match=TYPICALITY_FILE):
        Model(path)


@pytest.mark.parametrize(
    "changes",
    [
        *({"distances": each} for each in ([], [2.0, 1.0], "many", [[1.0]], None)),
        *({"scales": each} for each in ({"colour": [1, 1]}, {"energy": [1, 0]}, {"energy": 1}, [])),
    ],
)
def test_facts_of_another_kind_are_a_bundle_error(
    calibrated: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    path = Path(shutil.copytree(calibrated, tmp_path / "x.bundle"))
    bundle = Bundle.open(path)
    calibration = bundle.manifest.calibration
    facts = {**calibration[FACTS], **changes}
    update_bundle(bundle, calibration={**calibration, FACTS: facts})
    with pytest.raises(BundleError, match=TYPICALITY_FILE):
        read_typicality(Bundle.open(path))
