"""The classifier: any form of picture, streams of any length, broken files by name."""

from __future__ import annotations

import io
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.bundle import Manifest, write_bundle
from pplcnet.dataset import find_images
from pplcnet.errors import BundleError, ImageError, InputError
from pplcnet.prediction import Prediction, softmax
from pplcnet.preprocessing import Preprocessing
from pplcnet.runtime.classifier import CHUNK, CHUNKS_PER_WORKER, Classifier
from tests.conftest import draw_picture


@pytest.fixture(scope="module")
def classifier(common_bundle: Path) -> Classifier:
    return Classifier(common_bundle)


def test_every_form_of_a_picture_gives_the_same_answer(
    classifier: Classifier, common_photos: Path
) -> None:
    path = common_photos / "class_1" / "003.png"
    image = Image.open(path)
    forms = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), image,
             np.asarray(image)]  # fmt: skip
    answers = [classifier.predict(form).logits for form in forms]
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


def test_a_prediction_names_its_classes_best_first(
    classifier: Classifier, common_photos: Path
) -> None:
    prediction = classifier.predict(common_photos / "class_0" / "000.png")
    scores = prediction.top(5)
    assert len(scores) == 3
    assert {score.label for score in scores} == {"class_0", "class_1", "class_2"}
    assert prediction.best == scores[0]
    probabilities = [score.probability for score in scores]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    for score in scores:
        assert classifier.classes[score.class_index] == score.label
        assert prediction.probabilities[score.class_index] == pytest.approx(score.probability)


def test_softmax_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0, -1000.0])), [0.5, 0.5, 0])


def test_predict_says_what_is_wrong_with_a_picture(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        classifier.predict(tmp_path / "absent.png")


def test_predict_many_equals_predict_in_order(classifier: Classifier, common_photos: Path) -> None:
    paths = list(find_images(common_photos))
    together = list(classifier.predict_many(common_photos))
    assert [each.source for each in together] == [str(path) for path in paths]
    for path, prediction in zip(paths, together, strict=True):
        np.testing.assert_allclose(
            prediction.logits, classifier.predict(path).logits, rtol=1e-4, atol=1e-5
        )


def test_predict_many_reports_a_broken_file_and_goes_on(
    classifier: Classifier, photos: Path
) -> None:
    (photos / "class_1" / "005.png").write_bytes(b"broken")
    predictions = list(classifier.predict_many(photos))
    assert len(predictions) == 36
    (broken,) = [each for each in predictions if each.error is not None]
    assert broken.source == str(photos / "class_1" / "005.png")
    assert "not an image" in str(broken.error)
    with pytest.raises(ImageError):
        broken.best  # noqa: B018
    with pytest.raises(ImageError):
        broken.probabilities  # noqa: B018


def test_predict_many_looks_only_a_few_pictures_ahead(common_bundle: Path) -> None:
    taken = itertools.count()
    picture = draw_picture(0, 0)

    def endless():
        while True:
            next(taken)
            yield picture

    stream = Classifier(common_bundle, threads=2).predict_many(endless())
    for _ in range(50):
        assert next(stream).error is None
    stream.close()
    assert next(taken) <= 50 + (2 * CHUNKS_PER_WORKER + 1) * CHUNK


def test_predict_many_needs_a_folder_or_several(
    classifier: Classifier, common_photos: Path
) -> None:
    with pytest.raises(InputError, match="predict takes one"):
        classifier.predict_many(common_photos / "class_0" / "000.png")
    assert list(classifier.predict_many([])) == []


def test_run_takes_prepared_pictures(classifier: Classifier) -> None:
    assert classifier.run(np.zeros((3, 32, 32, 3), np.uint8)).shape == (3, 3)


def test_a_packed_bundle_answers_the_same(
    common_bundle: Path, common_photos: Path, tmp_path: Path, classifier: Classifier
) -> None:
    from pplcnet.bundle import Bundle

    packed = Bundle.open(common_bundle).pack(tmp_path / "x.zip")
    path = common_photos / "class_2" / "001.png"
    np.testing.assert_array_equal(
        Classifier(packed).predict(path).logits, classifier.predict(path).logits
    )


def test_threads_below_one_are_refused(common_bundle: Path) -> None:
    with pytest.raises(InputError, match="threads is 0"):
        Classifier(common_bundle, threads=0)


def test_a_network_that_is_none_is_a_bundle_error(tmp_path: Path) -> None:
    manifest = Manifest(
        classes=("a", "b"),
        preprocessing=Preprocessing(image_size=(8, 8)),
        network={"name": "pplcnet_x0_25"},
        variants={"onnx": {"file": "model.onnx"}},
    )
    bundle = write_bundle(tmp_path / "x.bundle", manifest, {"model.onnx": b"no network"})
    with pytest.raises(BundleError, match="cannot load this network"):
        Classifier(bundle.path).predict(np.zeros((8, 8, 3), np.uint8))


def test_a_prediction_without_error_has_its_logits() -> None:
    prediction = Prediction("x", np.array([1, 3], np.float32), ("a", "b"))
    assert prediction.best.label == "b"


@pytest.mark.parametrize("form", [bytes, bytearray, Image.open, lambda file: draw_picture(0, 0),
                                  lambda file: np.zeros((8, 8, 3), np.uint8)])  # fmt: skip
def test_predict_many_refuses_a_single_picture(
    classifier: Classifier, common_photos: Path, form
) -> None:
    path = common_photos / "class_0" / "000.png"
    single = form(path if form is Image.open else path.read_bytes())
    with pytest.raises(InputError, match="is one picture; predict takes one"):
        classifier.predict_many(single)
    assert len(list(classifier.predict_many([single]))) == 1


def test_predict_many_goes_on_after_a_truncated_pil_image(
    classifier: Classifier, common_photos: Path
) -> None:
    content = (common_photos / "class_0" / "000.png").read_bytes()
    cut, sound = (Image.open(io.BytesIO(each)) for each in (content[: len(content) // 2], content))
    broken, fine = classifier.predict_many([cut, sound])
    assert "truncated or damaged" in str(broken.error)
    assert fine.error is None


def test_no_pictures_give_no_logits(classifier: Classifier) -> None:
    logits = classifier.run(np.zeros((0, 32, 32, 3), np.uint8))
    assert (logits.shape, logits.dtype) == ((0, 3), np.float32)


def test_a_network_of_eight_pictures_a_run_takes_any_number(
    common_bundle: Path, photos: Path, classifier: Classifier, tmp_path: Path
) -> None:
    from pplcnet.deployment.exporting import export

    paths = list(find_images(photos))
    eight = shutil.copytree(common_bundle, tmp_path / "eight.bundle")
    export(eight, paths, batch=8)
    paths[3].write_bytes(b"broken")
    by_eight = Classifier(eight)
    expected = list(classifier.predict_many(paths))
    for one, other in zip(expected, by_eight.predict_many(paths), strict=True):
        assert (one.source, one.error is None) == (other.source, other.error is None)
        if one.error is None:
            np.testing.assert_allclose(one.logits, other.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        by_eight.predict(paths[0]).logits, expected[0].logits, rtol=1e-4, atol=1e-5
    )
    assert by_eight.run(np.zeros((11, 32, 32, 3), np.uint8)).shape == (11, 3)
