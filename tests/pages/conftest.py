"""Reports and a check page of small photos with malicious names, and a browser to open them."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import write_bundle
from pplcnet.cli.main import main
from pplcnet.reports import sections
from pplcnet.runtime.classifier import Classifier
from pplcnet.tasks.classification import cells
from tests.browsing import opened_browser
from tests.conftest import draw_scene

EVIL = (
    "</script><script>window.hurt=1</script>",
    "<img src=x onerror='window.hurt=1'>",
    'a "b" & c',
)
HISTORY = ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"]
EVIL_FILE = "<b onclick=alert(1)>&'\".png"


@pytest.fixture(scope="session")
def label_run(tmp_path_factory: pytest.TempPathFactory, common_bundle: Path) -> Path:
    """The folder of a multi-label run: bundle, split.csv, history.csv, photos, page.

    Of the 8 test photos every second shows the first label; every third the second, of which two
    photos are unknown; none the third.
    """
    folder = tmp_path_factory.mktemp("label_run")
    rows = []
    for number in range(20):
        path = folder / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        draw_scene(500 + number).save(path)
        split = "train" if number < 8 else "validation" if number < 13 else "test"
        second = -1 if number in (14, 16) else int(number % 3 == 0)
        third = int(number < 8 and number % 4 == 0)
        rows.append([path.relative_to(folder), number % 2, second, third, split])
    # One test photo is a training photo, smaller, with another label and a malicious name.
    draw_scene(501).resize((100, 78)).save(folder / "photos" / EVIL_FILE)
    rows.append([f"photos/{EVIL_FILE}", 0, 0, 0, "test"])
    _write(folder / "split.csv", ["path", *EVIL, "split"], rows)
    _write(folder / "history.csv", HISTORY, [[1, 9, 0.7, 8, 0.31], [2, 7, 0.8, 6, 0.42]])
    opened = Bundle.open(shutil.copytree(common_bundle, folder / "model.bundle"))
    scores = [each.probabilities for each in Classifier(opened.path).predict_many(folder)]
    middles = np.median(scores, axis=0)
    manifest = replace(
        opened.manifest,
        classes=EVIL,
        task="multilabel",
        # So that every label is predicted for some photos and not for others.
        decoding={"thresholds": dict(zip(EVIL, middles.tolist(), strict=True))},
    )
    write_bundle(opened.path, manifest, {name: opened.read(name) for name in opened.manifest.files})
    given = [str(opened.path), str(folder / "split.csv")]
    page = ["--out", str(folder / "label_report.html"), "--precision", "0.3", "--precision", "1"]
    assert main(["report", *given, *page]) == 0
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, common_bundle: Path, label_run: Path) -> Path:
    """A run's folder: bundle, split.csv, history.csv, suspects.csv, photos, and every page."""
    folder = tmp_path_factory.mktemp("run")
    rows = []
    for label, name in enumerate(EVIL):
        for number in range(12):
            path = folder / "photos" / f"{label}_{number}.png"
            path.parent.mkdir(exist_ok=True)
            draw_scene(100 * label + number).save(path)
            split = "train" if number < 5 else "validation" if number < 8 else "test"
            rows.append([path.relative_to(folder), name, split])
    # One test photo is a training photo, smaller; one has a malicious name.
    draw_scene(0).resize((100, 78)).save(folder / "photos" / EVIL_FILE)
    rows.append([f"photos/{EVIL_FILE}", EVIL[1], "test"])
    _write(folder / "split.csv", ["path", "label", "split"], rows)
    _write(
        folder / "history.csv",
        HISTORY,
        [[1, 1.2, 0.4, 1.1, 0.5], [2, 0.8, 0.6, 0.9, 0.7]],
    )
    _write(
        folder / "suspects.csv",
        ["Path", "label", "suggested", "confidence", "more"],
        [["photos/0_9.png", EVIL[0], EVIL[1], 0.93, ""], ["photos/gone.png", "x", "y", "", ""]],
    )
    opened = Bundle.open(shutil.copytree(common_bundle, folder / "model.bundle"))
    write_bundle(
        opened.path,
        replace(
            opened.manifest,
            classes=EVIL,
            decoding={"temperature": 0.7},
            calibration={"images": 9, "error_before": 0.1, "error_after": 0.1},
        ),
        {name: opened.read(name) for name in opened.manifest.files},
    )
    table = folder / "split.csv"
    page = ["--out", str(folder / "report.html"), "--precision", "0.5", "--precision", "1"]
    assert main(["report", str(folder / "model.bundle"), str(table), *page]) == 0
    assert main(["check", str(table), "--html", str(folder / "check.html")]) == 1
    shutil.copy(label_run / "label_report.html", folder)
    return folder


@pytest.fixture(scope="session")
def pairs_page(run: Path) -> Path:
    """The report with more classes than a matrix has room for: the first three pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "MATRIX_CLASSES", 2)
        patch.setattr(cells, "LISTED_PAIRS", 3)
        patch.setattr(sections, "EXAMPLE_CLASSES", 2)
        given = [str(run / "model.bundle"), str(run / "split.csv")]
        assert main(["report", *given, "--out", str(run / "pairs.html")]) == 0
    return run / "pairs.html"


@pytest.fixture
def no_gradcam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written as where Keras is not installed: without Grad-CAM, which takes longest."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "keras" else find(name)
    )


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Debian's Chromium without a window."""
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
