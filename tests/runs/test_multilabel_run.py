"""A multi-label run as a whole: train, export, evaluate, predict, calibrate."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.errors import BundleError
from pplcnet.runtime.classifier import Classifier

pytestmark = pytest.mark.usefixtures("shallow_networks")

COLOURS = {"blue": (40, 60, 230), "green": (30, 200, 60), "red": (230, 40, 30)}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs with an ellipse of any of three colours, in thirds of the picture; a tenth unknown."""
    folder = tmp_path_factory.mktemp("discs")
    generator = np.random.default_rng(2)
    rows = []
    for number in range(240):
        image = Image.new("RGB", (48, 48), (120, 120, 120))
        marks = generator.random(3) < 0.5
        for place, (mark, colour) in enumerate(zip(marks, COLOURS.values(), strict=True)):
            if mark:
                x, y = 16 * place, int(generator.integers(0, 12))
                ImageDraw.Draw(image).ellipse((x, y, x + 15, y + 35), fill=colour)
        image.save(folder / f"{number:02d}.jpg")
        known = generator.random(3) < 0.9
        cells = [str(int(m)) if k else "" for m, k in zip(marks, known, strict=True)]
        rows.append([f"{number:02d}.jpg", *cells])
    with (folder / "photos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", *COLOURS], *rows])
    return folder / "photos.csv"


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    settings = ["horizontal_flip=false", "crop_scale=0.9,1.0", "learning_rate=0.3", "batch_size=8"]
    arguments = ["train", str(table), "--model", "mobilenetv1_x0_25", "--image-size", "32"]
    sets = [word for each in settings for word in ("--set", each)]
    assert main([*arguments, "--epochs", "6", "--out", str(out), *sets]) == 0
    return out


def test_training_learns_the_labels_and_reports_them(run: Path) -> None:
    figures = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert figures["task"] == "multilabel"
    assert figures["map"] > 0.7  # by chance it would be 0.5
    assert {each["label"] for each in figures["per_label"]} == set(COLOURS)
    assert (run / "evaluation" / "labels.png").is_file()
    assert "mAP" in (run / "evaluation" / "evaluation.md").read_text()
    assert "Recall at a given precision" in (run / "report.html").read_text()
    manifest = Bundle.open(run / "model.bundle").manifest
    assert manifest.task == "multilabel"
    assert set(manifest.decoding["thresholds"]) == set(COLOURS)
    assert manifest.variants["onnx"]["figures"]["test"]["map"] == figures["map"]
    assert manifest.variants["onnx"]["parity"]["agreement"] >= 0.98
    best = manifest.variants["keras"]["figures"]["validation"]["map"]
    with (run / "history.csv").open() as file:
        assert max(float(row["validation_map"]) for row in csv.DictReader(file)) == best


def test_predict_prints_the_labels_above_their_thresholds(
    run: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, photo = run / "model.bundle", table.parent / "00.jpg"
    expected = Classifier(bundle).predict(photo).labels
    assert main(["predict", str(bundle), str(photo), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in answer["predictions"]] == [each.label for each in expected]
    assert main(["predict", str(bundle), str(table.parent), "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["path"] for row in rows} == {str(each) for each in table.parent.glob("*.jpg")}
    assert main(["predict", str(bundle), str(photo), "--top-k", "3"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COLOURS)


def test_photos_of_the_other_kind_are_refused(
    run: Path, common_photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = str(run / "model.bundle")
    for verb in (["evaluate", bundle, str(common_photos), "--out", str(tmp_path)],
                 ["calibrate", bundle, "--validation", str(common_photos)]):  # fmt: skip
        assert main(verb) == 2
        assert "labelled like the training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "Many"),
        ("decoding", {"thresholds": {"red": 1.5}}),
        ("decoding", {"thresholds": {"x": 0.5}}),
    ],
)
def test_a_damaged_task_or_threshold_is_named(
    run: Path, tmp_path: Path, field: str, value: object
) -> None:
    bundle = Path(shutil.copytree(run / "model.bundle", tmp_path / "a.bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["checksum"]
    (bundle / "manifest.json").write_text(json.dumps(manifest | {field: value}))
    with pytest.raises(BundleError, match=r"task 'Many'|threshold"):
        Bundle.open(bundle)
