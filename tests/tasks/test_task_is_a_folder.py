"""A task is a folder: one that the project does not know goes the whole way.

`tests/tasks/colour_count` has a task with its own labels, layout, recipe field, outputs, loss,
figures and report. Nothing outside that folder knows of it but two rows in two tables.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet import tasks
from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.data import layouts

pytestmark = pytest.mark.usefixtures("shallow_networks")

PACKAGE = "tests.tasks.colour_count"
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 40)]


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of images with stripes in one to four colours."""
    folder = tmp_path_factory.mktemp("colours")
    generator = np.random.default_rng(0)
    rows = []
    for number in range(36):
        count = 1 + number % 4
        chosen = generator.permutation(len(COLOURS))[:count]
        stripes = np.array([COLOURS[chosen[at % count]] for at in range(8)], np.uint8)
        pixels = np.repeat(np.repeat(stripes[:, None], 32, axis=1), 4, axis=0)
        noise = generator.integers(0, 9, pixels.shape, np.uint8)
        Image.fromarray(pixels + noise).save(folder / f"{number}.png")
        rows.append((f"{number}.png", count))
    with (folder / "counts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "colours"), *rows])
    return folder / "counts.csv"


@pytest.fixture(scope="module", autouse=True)
def _rows() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks.TASKS, "colour_count", PACKAGE)
        patch.setattr(layouts, "LAYOUTS", (f"{PACKAGE}.layout", *layouts.LAYOUTS))
        yield


@pytest.fixture(scope="module")
def run(counts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    recipe = ["--model", "pplcnet_x0_25", "--image-size", "32", "--epochs", "2"]
    settings = ["--set", "batch_size=8", "--set", "learning_rate=0.1", "--set", "huber_delta=2"]
    assert main(["train", str(counts), "--out", str(out), *recipe, *settings]) == 0
    return out


def test_it_is_trained_exported_and_evaluated(run: Path) -> None:
    manifest = Bundle.open(run / "model.bundle").manifest
    assert manifest.task == "colour_count"
    assert dict(manifest.outputs) == {"count": (1,)}
    parity = manifest.variants["onnx"]["parity"]
    assert parity["agreement"] == 1.0
    assert parity["outputs"]["count"]["largest_difference"] <= 1e-4 * max(
        1.0, parity["outputs"]["count"]["largest"]
    )
    figures = json.loads((run / "evaluation/evaluation.json").read_text())
    assert 0 < figures["closeness"] <= 1
    with (run / "history.csv").open(newline="") as file:
        assert "validation_closeness" in next(csv.reader(file))
    assert (run / "evaluation/counts.csv").is_file()
    assert (run / "evaluation/counts.png").is_file()


def test_a_run_without_its_bundle_resumes_from_the_checkpoint(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    before = Bundle.open(run / "model.bundle").read("weights.npz")
    shutil.rmtree(copy / "model.bundle")
    assert main(["train", "--resume", "--out", str(copy)]) == 0
    assert Bundle.open(copy / "model.bundle").read("weights.npz") == before


def test_predict_prints_its_rows(run: Path, counts: Path, capsys: pytest.CaptureFixture) -> None:
    photo = str(counts.parent / "3.png")
    assert main(["predict", str(run), photo, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert main(["predict", str(run), photo, "--csv"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header == "path,rank,colours,error"
    assert line.split(",")[2] == f"{row['colours']:.6f}"
    assert main(["predict", str(run), photo]) == 0
    assert f"{row['colours']:.2f} colours" in capsys.readouterr().out


@pytest.mark.parametrize(("split", "images"), [("test", 5), ("all", 36)])
def test_evaluate_knows_the_splits_of_its_run(
    run: Path, counts: Path, tmp_path: Path, split: str, images: int
) -> None:
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(run), str(counts), "--split", split, "--out", str(out)]) == 0
    assert json.loads((out / "evaluation.json").read_text())["images"] == images


def test_its_report_has_its_own_section(run: Path, counts: Path) -> None:
    page = (run / "report.html").read_text()
    assert "Errors of the counts" in page
    assert 'href="#errors"' in page


def test_another_task_s_photos_are_refused(run: Path, photos: Path, capsys) -> None:
    assert main(["evaluate", str(run), str(photos)]) == 2
    assert "a number of colours each" in capsys.readouterr().err
