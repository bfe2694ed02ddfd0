"""Streams of predictions: in order, as soon as they are there, and without threads left behind."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import BundleError
from pplcnet.runtime import model
from pplcnet.runtime.classifier import Classifier
from pplcnet.runtime.streaming import streams_of
from pplcnet.tasks.classification.decoding import ClassPrediction
from pplcnet.tasks.task import Outputs


@pytest.fixture(scope="module")
def classifier(common_bundle: Path) -> Classifier:
    return Classifier(common_bundle)


def test_a_source_that_waits_for_each_answer_goes_on(
    classifier: Classifier, common_photos: Path
) -> None:
    photo = common_photos / "class_0" / "000.png"
    answered: queue.Queue[ClassPrediction] = queue.Queue()

    def camera():
        for _ in range(5):
            yield photo
            answered.get(timeout=20)

    for prediction in classifier.predict_many(camera()):
        answered.put(prediction)
    assert answered.empty()


def test_a_source_that_raises_does_so_after_the_answers_before_it(
    classifier: Classifier, common_photos: Path
) -> None:
    photo = common_photos / "class_0" / "000.png"

    def source():
        for _ in range(20):
            yield photo
        raise LookupError("the camera is unplugged")

    stream = classifier.predict_many(source())
    assert [next(stream).error for _ in range(20)] == [None] * 20
    with pytest.raises(LookupError, match="unplugged"):
        next(stream)


def _threads() -> list[str]:
    """The threads of streams, once those that read sources have had the time to end."""
    for thread in threading.enumerate():
        if thread.name == "pplcnet-predict-source":
            thread.join(20)
    return [each.name for each in threading.enumerate() if each.name.startswith("pplcnet-predict-")]


def test_closing_a_stream_ends_its_threads(classifier: Classifier, common_photos: Path) -> None:
    photo = common_photos / "class_0" / "000.png"
    never = threading.Event()

    def source():
        yield photo
        never.wait(20)

    stream = classifier.predict_many(source())
    next(stream)
    stream.close()
    never.set()
    assert _threads() == []


def test_a_fault_of_the_engine_ends_the_stream(
    common_bundle: Path, common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(common_bundle)

    class Broken:
        batch_size = 1

        def run(self, images: np.ndarray) -> Outputs:
            raise BundleError("the engine is broken")

    monkeypatch.setattr(model, "open_engine", lambda *_, **__: Broken())
    with pytest.raises(BundleError, match="broken"):
        list(classifier.predict_many(common_photos))
    assert _threads() == []


def test_several_threads_take_the_same_items_and_the_same_error() -> None:
    def slow() -> Iterator[int]:
        for number in range(100):
            time.sleep(0.0005)  # in which another thread asks for the same item
            yield number
        raise OSError("the camera is gone")

    def taken(stream: Iterator[int]) -> list[int | str]:
        found: list[int | str] = []
        try:
            for each in stream:
                found.append(each)  # noqa: PERF402 - what came before the error is kept
        except OSError as error:
            found.append(str(error))
        return found

    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(taken, streams_of(slow(), 3)):
            assert found == [*range(100), "the camera is gone"]
