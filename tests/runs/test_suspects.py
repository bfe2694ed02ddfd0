"""Photos whose label is probably wrong: the list, and the runs that it is made of."""

from __future__ import annotations

import csv
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.errors import TrainingInterrupted
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runs.suspect_list import COLUMNS
from pplcnet.runs.suspects import rank_suspects

pytestmark = pytest.mark.usefixtures("shallow_networks")

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (210, 50, 40)}
EACH = 16
WRONG = {"red-3.jpg": "green", "blue-7.jpg": "red"}
SETTINGS = [
    "--model", "pplcnet_x0_25", "--image-size", "32", "--epochs", "10", "--batch-size", "8",
    "--set", "freeze=trunk", "--set", "head_epochs=0", "--set", "optimizer=adamw",
    "--set", "learning_rate=0.1", "--set", "label_smoothing=0", "--folds", "2",
]  # fmt: skip


def write_shapes(folder: Path) -> Path:
    """A table of squares in three colours as JPEG files, the labels of some of them wrong."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = []
    for name, colour in COLOURS.items():
        for number in range(EACH):
            pixels = generator.normal(128, 20, (48, 48, 3))
            top, left = generator.integers(0, 16, 2)
            pixels[top : top + 32, left : left + 32] += np.subtract(colour, 128)
            file = f"{name}-{number}.jpg"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / file, quality=95)
            rows.append([file, WRONG.get(file, name)])
    return write_table(folder / "photos.csv", rows)


def write_trunk(path: Path, table: Path) -> Path:
    """Random weights with BatchNorm's statistics of the photos: the head alone learns."""
    import keras

    from pplcnet.models.build import build_model
    from pplcnet.weights.native import get_values

    preprocessing = Preprocessing(image_size=(32, 32))
    pixels = np.stack([preprocessing(image.path) for image in Dataset.open(table).images])
    keras.utils.set_random_seed(7)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    for _ in range(8):
        model(preprocessing.normalize(pixels), training=True)
    np.savez(path, **get_values(model))
    return path


def write_table(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *rows])
    return path


@pytest.fixture(scope="module", autouse=True)
def _any_strength() -> Iterator[None]:
    """These networks know little, and a list is made of it all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pplcnet.runs.suspect_list.LEAST_GAIN", -9.0)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos and a finished run on them: not to be changed."""
    folder = tmp_path_factory.mktemp("suspects")
    photos = write_shapes(folder / "photos")
    write_trunk(folder / "trunk.npz", photos)
    assert main(command(folder, folder / "run")) == 0
    return folder


def command(folder: Path, out: Path) -> list[str]:
    weights = ["--weights", str(folder / "trunk.npz")]
    return [
        "suspects",
        str(folder / "photos" / "photos.csv"),
        "--out",
        str(out),
        *SETTINGS,
        *weights,
    ]


def read_suspects(run: Path) -> list[dict[str, str]]:
    with (run / "suspects.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_list_says_what_the_networks_doubt_most_doubtful_first(run: Path) -> None:
    rows = read_suspects(run / "run")
    assert rows
    assert tuple(rows[0]) == COLUMNS
    images = Dataset.open(run / "photos" / "photos.csv")
    labels = {str(each.path.resolve()): images.classes[each.shown[0]] for each in images.images}
    for row in rows:
        assert row["label"] == labels[row["path"]]
        assert row["suggested"] != row["label"]
        assert float(row["confidence_in_suggested"]) >= float(row["confidence_in_label"])
    in_label = [float(row["confidence_in_label"]) for row in rows]
    assert in_label == sorted(in_label)


def test_the_list_is_a_table_of_photos_itself(run: Path) -> None:
    listed = Dataset.open(run / "run" / "suspects.csv")
    assert len(listed) == len(read_suspects(run / "run"))


def test_a_finished_run_is_not_trained_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folds = sorted((run / "run").glob("fold-*/model.bundle/manifest.json"))
    before = [each.stat().st_mtime_ns for each in folds]
    rows = read_suspects(run / "run")
    assert main(command(run, run / "run")) == 0
    out, err = capsys.readouterr()
    assert len(before) == 2
    assert [each.stat().st_mtime_ns for each in folds] == before
    assert read_suspects(run / "run") == rows
    assert "Keras" not in err
    assert f"{len(rows)} of {3 * EACH} photos may have a wrong label" in out
    assert str(run / "run" / "suspects.csv") in out


def test_the_command_that_a_stopped_run_prints_leads_to_the_same_list(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped = shutil.copytree(run / "run", tmp_path / "the run")
    shutil.rmtree(stopped / "fold-2" / "model.bundle")
    (stopped / "suspects.csv").unlink()

    def interrupted(*arguments: object, out: Path, **options: object) -> None:
        raise TrainingInterrupted("stopped after epoch 1 of 10.", run=str(out), signal=15)

    with monkeypatch.context() as patch:
        patch.setattr("pplcnet.training.train.train", interrupted)
        assert main(command(run, stopped)) == 143
    advice = capsys.readouterr().err.splitlines()[-1]
    _, separator, printed = advice.partition(": pplcnet ")
    assert separator
    assert main(shlex.split(printed)) == 0
    assert read_suspects(stopped) == read_suspects(run / "run")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--epochs", "6"], "you gave epochs=6, the run has 10"),
        (["--folds", "3"], "you gave folds=3, the run has 2"),
    ],
)
def test_a_run_keeps_its_recipe_and_its_folds(
    run: Path, capsys: pytest.CaptureFixture[str], changes: list[str], said: str
) -> None:
    assert main([*command(run, run / "run"), *changes]) == 2
    assert said in capsys.readouterr().err


def test_a_run_keeps_its_photos(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[f"{name}-{number}.jpg", name] for name in COLOURS for number in range(EACH)]
    other = write_table(run / "photos" / "other.csv", rows)
    verb, _, *rest = command(run, run / "run")
    assert main([verb, str(other), *rest]) == 2
    assert "the photos are not those that the run started with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (1, "1 fold; at least 2 are needed"),
        (EACH, "class 'blue' has 15 photos; take 15 folds or fewer"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folds: int, said: str
) -> None:
    photos = write_shapes(tmp_path / "photos")
    out = str(tmp_path / "run")
    assert main(["suspects", str(photos), "--out", out, "--folds", str(folds)]) == 2
    *progress, error = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert all(line.startswith("start: ") for line in progress)
    assert not (tmp_path / "run").exists()


def test_photos_with_any_number_of_labels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_shapes(tmp_path / "photos")
    table.write_text(table.read_text().replace("path,label", "path,labels"))
    assert main(["suspects", str(table), "--out", str(tmp_path / "run")]) == 2
    assert "needs exactly one class per photo" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_list_is_ranked_by_the_probability_of_the_label() -> None:
    labels = np.repeat(np.arange(3), 30)
    probabilities = np.full((90, 3), 0.05)
    probabilities[np.arange(90), labels] = 0.9
    probabilities[[4, 40, 77]] = [[0.07, 0.02, 0.91], [0.92, 0.03, 0.05], [0.06, 0.88, 0.06]]
    assert rank_suspects(labels, probabilities).tolist() == [40, 77, 4]


def test_nothing_is_named_where_nothing_is_doubted() -> None:
    labels = np.repeat(np.arange(3), 10)
    assert rank_suspects(labels, np.eye(3)[labels] * 0.7 + 0.1).tolist() == []
