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
from pplcnet.runtime.typicality import FACTS, TYPICALITY_FILE, read_typicality

SIZE = 48


def _typical(count: int, seed: int) -> np.ndarray:
    """Vectors in a subspace of five dimensions, with a little noise around it."""
    basis = np.random.default_rng(0).normal(size=(5, SIZE))
    generator = np.random.default_rng(seed)
    inside = generator.normal(size=(count, 5)) + 3
    return (inside @ basis + 0.2 * generator.normal(size=(count, SIZE))).astype(np.float32)


def _strange(count: int) -> np.ndarray:
    return np.random.default_rng(9).normal(size=(count, SIZE)).astype(np.float32)


def test_images_like_the_validation_are_as_typical_as_promised() -> None:
    fitted = fit_typicality(_typical(300, 1), _typical(900, 2))
    assert fitted is not None
    found = np.array([fitted.of(each) for each in unit_length(_typical(900, 3))])
    assert found.min() > 0
    assert found.max() <= 1
    for level in (0.05, 0.2, 0.5):
        assert (found <= level).mean() == pytest.approx(level, abs=0.06)
    assert max(fitted.of(each) for each in unit_length(_strange(50))) == 1 / 901


def test_distances_are_those_of_the_whole_covariance() -> None:
    vectors = _typical(300, 1)
    fitted = fit_typicality(vectors, vectors[:10])
    assert fitted is not None
    covariance = (
        fitted.rest * np.eye(SIZE)
        + fitted.directions.T
        @ np.diag(fitted.variances - np.float32(fitted.rest))
        @ fitted.directions
    )
    offsets = (unit_length(_strange(20)) - fitted.mean).astype(np.float64)
    expected = np.einsum("nd,de,ne->n", offsets, np.linalg.inv(covariance), offsets)
    np.testing.assert_allclose(fitted.distance(unit_length(_strange(20))), expected, rtol=1e-3)


def test_many_validation_images_are_kept_as_quantiles() -> None:
    fitted = fit_typicality(_typical(50, 1), _typical(3000, 2))
    assert fitted is not None
    assert len(fitted.distances) == 1000
    assert (np.diff(fitted.distances) >= 0).all()


def test_what_cannot_be_fitted_is_none() -> None:
    some = _typical(5, 1)
    assert fit_typicality(some[:1], some) is None
    assert fit_typicality(np.repeat(some[:1], 4, axis=0), some) is None
    assert fit_typicality(some, some[:0]) is None
    assert fit_typicality(some[:2], some[2:]) is not None


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


def _file(**changes: np.ndarray) -> bytes:
    arrays = {
        "mean": np.zeros(1280), "directions": np.zeros((2, 1280)), "variances": np.ones(2),
        "rest": np.array(1.0),
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
    ],
)
def test_a_file_that_does_not_fit_is_a_bundle_error(
    calibrated: Path, tmp_path: Path, content: bytes
) -> None:
    path = Path(shutil.copytree(calibrated, tmp_path / "x.bundle"))
    update_bundle(Bundle.open(path), files={TYPICALITY_FILE: content})
    with pytest.raises(BundleError, match=TYPICALITY_FILE):
        Model(path)


@pytest.mark.parametrize("distances", [[], [2.0, 1.0], "many", [[1.0]], None])
def test_distances_of_another_kind_are_a_bundle_error(
    calibrated: Path, tmp_path: Path, distances: object
) -> None:
    path = Path(shutil.copytree(calibrated, tmp_path / "x.bundle"))
    bundle = Bundle.open(path)
    calibration = bundle.manifest.calibration
    facts = {**calibration[FACTS], "distances": distances}
    update_bundle(bundle, calibration={**calibration, FACTS: facts})
    with pytest.raises(BundleError, match=TYPICALITY_FILE):
        read_typicality(Bundle.open(path))
