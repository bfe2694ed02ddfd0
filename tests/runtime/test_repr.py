"""What is shown at a prompt and in notebooks is short, says what matters, and is escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import ClassLabel
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import ImageError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runs.result import JobResult
from pplcnet.runtime.classifier import Classifier
from pplcnet.tasks.classification.decoding import ClassPrediction
from pplcnet.tasks.classification.evaluation import ClassEvaluation, Mistake
from pplcnet.tasks.multilabel.decoding import LabelPrediction
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation

HOSTILE = "<script>alert('x')</script>\x1b[31m"
MANY = (HOSTILE, *(f"class {number}" for number in range(999)))
LOGITS = np.linspace(3, -3, len(MANY), dtype=np.float32)


def _manifest(task: str = "classification") -> Manifest:
    return Manifest(
        classes=MANY,
        preprocessing=Preprocessing(image_size=(80, 160)),
        network={"name": "pplcnet_x1_0"},
        variants={"onnx": {"file": "model.onnx"}},
        task=task,
    )


def _evaluation() -> ClassEvaluation:
    confusion = np.ones((len(MANY), len(MANY)), np.int64)
    mistake = Mistake(HOSTILE, MANY[0], MANY[1], 0.9)
    return ClassEvaluation(MANY, confusion, 0.5, 0.75, (mistake,) * 5000, 0.1, 0.01)


def _labels() -> LabelEvaluation:
    marks = np.ones((3, len(MANY)), np.int8)
    return LabelEvaluation(MANY, (0.5,) * len(MANY), ("a", "b", "c"), marks * 0.7, marks)


def _dataset() -> Dataset:
    images = tuple(LabelledImage(Path(f"{HOSTILE}{n}.jpg"), ClassLabel(n % 3)) for n in range(5000))
    return Dataset(Path(f"photos {HOSTILE}"), MANY, images)


EVERYTHING = {
    "prediction": (lambda: ClassPrediction(HOSTILE, None, LOGITS, MANY), "0.0"),
    "labels": (
        lambda: LabelPrediction("a", None, LOGITS, MANY, thresholds=(0.1,) * len(MANY)),
        "more",
    ),
    "no labels": (
        lambda: LabelPrediction("a", None, LOGITS, MANY, thresholds=(1.0,) * len(MANY)),
        "no labels",
    ),
    "error": (
        lambda: ClassPrediction("a", ImageError(HOSTILE, f"no {HOSTILE}")),
        "error: no",
    ),
    "bundle": (
        lambda: Bundle(Path(HOSTILE), _manifest()),
        "pplcnet_x1_0, 80x160, classification, 1000 classes",
    ),
    "labels of a bundle": (
        lambda: Bundle(Path("b"), _manifest("multilabel")),
        "multilabel, 1000 classes",
    ),
    "data set": (_dataset, "5000 images, 1000 classes"),
    "evaluation": (_evaluation, "0.5000 top-1 on 1000000 images, 1000 classes, 5000 mistakes"),
    "evaluation of labels": (_labels, "1.0000 mAP on 3 images, 1000 labels"),
}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_repr_is_short_and_says_what_matters(name: str) -> None:
    make, said = EVERYTHING[name]
    shown = repr(make())
    assert said in shown
    assert len(shown) < 700
    assert "\x1b" not in shown
    assert "\n" not in shown


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_notebook_shows_names_as_text(name: str) -> None:
    make, _ = EVERYTHING[name]
    html = make()._repr_html_()
    tags = _Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.seen <= {"div", "b", "i", "table", "tr", "td"}
    assert "\x1b" not in html
    assert len(html) < 10_000


def test_the_bars_are_the_probabilities() -> None:
    prediction = ClassPrediction("a.jpg", None, np.array([2.0, 0.0], np.float32), ("cat", "dog"))
    widths = re.findall(r"width:([\d.]+)%", prediction._repr_html_())
    expected = [100 * each.probability for each in prediction.top(2)]
    assert [float(each) for each in widths] == pytest.approx(expected, abs=0.05)


def test_a_classifier_says_how_it_runs(common_bundle: Path) -> None:
    classifier = Classifier(common_bundle)
    assert repr(classifier) == ("<Classifier pplcnet_x0_25 32x32, 3 classes, onnxruntime float32>")
    html = classifier._repr_html_()
    assert ">3 (class_0, class_1, class_2)<" in html
    assert ">variants</td>" in html
    assert html.count("variants") == 1


@pytest.mark.parametrize(
    "latency", [None, {"median_ms": 2.5, "engine": "onnxruntime", "threads": 1}]
)
def test_a_job_is_summed_up_with_and_without_a_latency(latency: dict | None) -> None:
    manifest = _manifest()
    manifest.variants["onnx"]["latency"] = latency
    result = JobResult(Path("b"), Path("e"), _evaluation(), "test", manifest)
    (line,) = [each for each in result.summary() if each.startswith("latency")]
    assert ("not measured" in line) == (latency is None)
    assert len(repr(result)) < 1500
