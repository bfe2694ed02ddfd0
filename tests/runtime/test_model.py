"""A model takes any form of image, streams of any length, and reports broken files by name."""

from __future__ import annotations

import copy
import io
import itertools
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.data.image_files import find_images
from pplcnet.errors import BundleError, ImageError, InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime import model
from pplcnet.runtime.classifier import Classifier
from pplcnet.runtime.model import CHUNK, CHUNKS_PER_WORKER
from pplcnet.tasks.classification.decoding import ClassPrediction
from pplcnet.tasks.scores import softmax
from pplcnet.tasks.task import Outputs
from tests.conftest import draw_image


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
    image = draw_image(0, 0)

    def endless():
        while True:
            next(taken)
            yield image

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
    assert classifier.run(np.zeros((3, 32, 32, 3), np.uint8))["logits"].shape == (3, 3)


def test_a_packed_bundle_answers_the_same(
    common_bundle: Path, common_photos: Path, tmp_path: Path, classifier: Classifier
) -> None:
    from pplcnet.bundle.bundle import Bundle

    packed = Bundle.open(common_bundle).pack(tmp_path / "x.zip")
    path = common_photos / "class_2" / "001.png"
    np.testing.assert_array_equal(
        Classifier(packed).predict(path).logits, classifier.predict(path).logits
    )


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_are_whole_numbers_from_one_on(common_bundle: Path, threads: Any) -> None:
    with pytest.raises(InputError, match=f"threads is {threads!r}"):
        Classifier(common_bundle, threads=threads)
    assert Classifier(common_bundle, threads=np.int64(1)).classes


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
    prediction = ClassPrediction("x", None, np.array([1, 3], np.float32), ("a", "b"))
    assert prediction.best.label == "b"


@pytest.mark.parametrize("form", [bytes, bytearray, Image.open, lambda file: draw_image(0, 0),
                                  lambda file: np.zeros((8, 8, 3), np.uint8)])  # fmt: skip
def test_predict_many_refuses_a_single_picture(
    classifier: Classifier, common_photos: Path, form
) -> None:
    path = common_photos / "class_0" / "000.png"
    single = form(path if form is Image.open else path.read_bytes())
    with pytest.raises(InputError, match="is one image; predict takes one"):
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
    logits = classifier.run(np.zeros((0, 32, 32, 3), np.uint8))["logits"]
    assert (logits.shape, logits.dtype) == ((0, 3), np.float32)


def test_a_network_of_eight_pictures_a_run_takes_any_number(
    common_bundle: Path, photos: Path, classifier: Classifier, tmp_path: Path
) -> None:
    from pplcnet.exporting.export import export

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
    assert by_eight.run(np.zeros((11, 32, 32, 3), np.uint8))["logits"].shape == (11, 3)


class _Hostile:
    """A picture whose every use raises something else."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("no pixels")

    def __getattr__(self, name: str) -> object:
        raise ZeroDivisionError(name)


class _Unreadable(io.BytesIO):
    def read(self, *_: object) -> bytes:
        raise KeyError("gone")


@pytest.mark.parametrize(
    "bad", [None, "a\0b.jpg", 7, ["list"], {}, "\udc80", io.StringIO("text"), _Unreadable(b"x"),
            _Hostile(), np.zeros((2, 2), complex), np.zeros((0, 4, 3), np.uint8), b""],
    ids=lambda item: type(item).__name__,
)  # fmt: skip
def test_one_bad_item_is_one_record_with_an_error(
    classifier: Classifier, common_photos: Path, bad: object
) -> None:
    photo = common_photos / "class_0" / "000.png"
    before, broken, after = classifier.predict_many([photo, bad, photo])  # type: ignore[list-item]
    assert before.error is None
    assert after.error is None
    assert isinstance(broken.error, ImageError)
    with pytest.raises(ImageError):
        classifier.predict(bad)  # type: ignore[arg-type]


def test_file_objects_are_pictures_and_named(classifier: Classifier, common_photos: Path) -> None:
    path = common_photos / "class_0" / "000.png"
    expected = classifier.predict(path).logits
    with path.open("rb") as file:
        by_file, by_buffer = classifier.predict_many([file, io.BytesIO(path.read_bytes())])
        with pytest.raises(InputError, match="is one image"):
            classifier.predict_many(file)  # type: ignore[arg-type]
    assert by_file.source == str(path)
    assert by_buffer.source == "the file object"
    for each in (by_file, by_buffer):
        np.testing.assert_array_equal(each.logits, expected)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy,
                                 lambda each: pickle.loads(pickle.dumps(each))])  # fmt: skip
def test_copies_answer_the_same(classifier: Classifier, common_photos: Path, way) -> None:
    photo = common_photos / "class_1" / "001.png"
    expected = classifier.predict(photo)
    again = way(classifier)
    np.testing.assert_array_equal(again.predict(photo).logits, expected.logits)
    prediction = way(expected)
    assert prediction.best == expected.best
    (broken,) = classifier.predict_many([b"broken"])
    assert str(way(broken).error) == str(broken.error)


def test_several_threads_share_a_classifier(common_bundle: Path, common_photos: Path) -> None:
    classifier = Classifier(common_bundle)
    photos = sorted(common_photos.rglob("*.png"))
    expected = [each.logits for each in Classifier(common_bundle).predict_many(photos)]
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(lambda _: list(classifier.predict_many(photos)), range(4)))
        singles = list(pool.map(classifier.predict, photos))
    for found in (*streams, singles):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.logits, other, rtol=1e-4, atol=1e-5)


def test_a_closed_classifier_says_so(common_bundle: Path, common_photos: Path) -> None:
    with Classifier(common_bundle) as classifier:
        classifier.predict(common_photos / "class_0" / "000.png")
    with pytest.raises(InputError, match="is closed"):
        classifier.predict(common_photos / "class_0" / "000.png")
    with pytest.raises(InputError, match="is closed"):
        list(classifier.predict_many(common_photos))


FORKS = """
import itertools, os, signal, sys, warnings
import pytest
from pplcnet.errors import InputError
from pplcnet.runtime.classifier import Classifier

bundle, photo, engine = sys.argv[1:]
classifier = Classifier(bundle, engine=engine)
expected = classifier.predict(photo).best.label
stream = classifier.predict_many(itertools.repeat(photo))
next(stream)
warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads
child = os.fork()
if child == 0:
    signal.alarm(30)
    code = 1
    try:
        with pytest.raises(InputError, match="belongs to the process"):
            next(stream)
        answers = [classifier.predict(photo), *classifier.predict_many([photo] * 20)]
        code = int({each.best.label for each in answers} != {expected})
    finally:
        os._exit(code)
assert os.waitpid(child, 0)[1] == 0
assert next(stream).best.label == expected
stream.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_forked_process_predicts(common_bundle: Path, common_photos: Path, engine: str) -> None:
    """In a process of its own: other libraries of the tests have threads that no fork survives."""
    pytest.importorskip(engine)
    photo = common_photos / "class_0" / "000.png"
    command = [sys.executable, "-c", FORKS, str(common_bundle), str(photo), engine]
    found = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("images", [7, None, object()])
def test_predict_many_refuses_what_holds_no_pictures(
    classifier: Classifier, images: object
) -> None:
    with pytest.raises(InputError, match="takes a folder or several images"):
        classifier.predict_many(images)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_nan_or_infinite_is_an_error(
    common_bundle: Path, common_photos: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    class Broken:
        batch_size = None

        def run(self, images: np.ndarray) -> Outputs:
            return {"logits": np.full((len(images), 3), value, np.float32)}

    opened = Classifier(common_bundle)
    monkeypatch.setattr(model, "open_engine", lambda *_, **__: Broken())
    photo = common_photos / "class_2" / "001.png"
    with pytest.raises(BundleError, match="is NaN or infinite"):
        opened.predict(photo)
    with pytest.raises(BundleError, match="is NaN or infinite"):
        list(opened.predict_many([photo]))
