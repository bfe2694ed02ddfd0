"""The multi-label report: its sections, counts, and labels of which nothing is known."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest

from pplcnet.cli.main import main
from pplcnet.tasks.multilabel import cells as label_cells
from tests.conftest import draw_scene
from tests.pages.conftest import EVIL
from tests.pages.reader import PageReader, cells_of


def _report(run: Path, table: Path, out: Path, *more: str) -> str:
    given = [str(run / "model.bundle"), str(table), "--out", str(out), *more]
    assert main(["report", *given]) == 0
    return out.read_text()


def test_it_holds_every_section(label_run: Path) -> None:
    page = PageReader((label_run / "label_report.html").read_text())
    assert page.sections() == [
        "made", "training", "labels", "answers", "mistakes", "unsure", "calibration",
        "thresholds", "copies", "variants",
    ]  # fmt: skip
    for part in (
        "pplcnet_x0_25: 3 labels",
        "On 8 test photos",
        "every known label right",
        "too few photos for an interval",
        "of 22 known labels",
        "Chosen on 5 validation photos, measured on the 8 reported ones",
        "1 of 8 photos are near-duplicates (perceptual hash) of one of the 8 training photos",
        "labels differ",
        "The coloured areas are the evidence for that label (Grad-CAM)",
        "no temperature was fitted",
    ):
        assert part in page.text


def test_the_curve_is_of_map_and_of_validation_alone(label_run: Path) -> None:
    text = (label_run / "label_report.html").read_text()
    assert "mAP by epoch; at the end validation 0.420" in text
    assert "Accuracy by epoch" not in text


def test_counts_are_of_the_known(label_run: Path) -> None:
    text = re.sub(r"\s+", " ", PageReader((label_run / "label_report.html").read_text()).text)
    for label, train, test in zip(
        EVIL, ("4 of 8", "3 of 8", "2 of 8"), ("4 of 8", "2 of 6", "0 of 8"), strict=True
    ):
        assert re.search(rf"{re.escape(label)} ?{train} ?\d of 5 ?{test}", text), label


def test_cells_count_every_known_label_once(label_run: Path) -> None:
    data = cells_of((label_run / "label_report.html").read_text())
    for row, known in enumerate((8, 6, 8)):
        cells = [data["cells"].get(f"{row},{column}") for column in range(4)]
        assert sum(cell["count"] for cell in cells if cell) == known
        photos = [at for cell in cells if cell for at in cell["photos"]]
        assert len(photos) == len(set(photos)) == known
    assert "2,0" not in data["cells"]
    assert "2,1" not in data["cells"]


@pytest.mark.usefixtures("no_gradcam")
def test_photos_of_mistakes_come_first_where_a_page_has_no_room(
    label_run: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(label_cells, "IMAGES", 2)
    data = cells_of(_report(label_run, label_run / "split.csv", tmp_path / "page.html"))
    assert len(data["photos"]) == 2
    wrong = [
        cell for key, cell in data["cells"].items() if key.endswith((",1", ",2")) and cell["photos"]
    ]
    assert wrong
    assert all(len(cell["photos"]) == len(cell["probabilities"]) for cell in data["cells"].values())


def test_a_label_that_no_photo_shows_has_a_dash(label_run: Path) -> None:
    text = (label_run / "label_report.html").read_text()
    table = text[text.index('<section id="labels">') : text.index('<section id="answers">')]
    row = table.split("<tr>")[-1]
    assert "0 <span" in row
    # Average precision, recall and F1; the precision of what was named is 0.
    assert row.count(">–<") == 3


@pytest.mark.usefixtures("no_gradcam")
@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ((-1, -1, -1), ("of 0 known labels", "no photo shows a label")),
        ((0, 0, -1), ("of 8 known labels", "no photo shows a label")),
        ((1, 1, 1), ("of 12 known labels", "too few photos for an interval")),
    ],
    ids=["nothing known", "nothing shown", "everything shown"],
)
def test_photos_that_all_say_the_same_are_reported(
    label_run: Path, tmp_path: Path, marks: tuple[int, ...], expected: tuple[str, ...]
) -> None:
    with (tmp_path / "photos.csv").open("w", newline="") as file:
        rows = [[label_run / "photos" / f"{number}.png", *marks] for number in range(13, 17)]
        csv.writer(file).writerows([["path", *EVIL], *rows])
    text = PageReader(_report(label_run, tmp_path / "photos.csv", tmp_path / "page.html")).text
    for part in expected:
        assert part in text


@pytest.mark.usefixtures("no_gradcam")
def test_what_is_empty_is_left_out_where_nothing_is_known(label_run: Path, tmp_path: Path) -> None:
    with (tmp_path / "photos.csv").open("w", newline="") as file:
        rows = [[label_run / "photos" / f"{number}.png", "", "", ""] for number in range(13, 17)]
        csv.writer(file).writerows([["path", *EVIL], *rows])
    text = _report(label_run, tmp_path / "photos.csv", tmp_path / "page.html")
    page = PageReader(text)
    assert page.sections() == ["made", "training", "labels", "copies", "variants"]
    assert page.links() == [f"#{section}" for section in page.sections()]
    tiles = text[text.index('class="tiles"') : text.index("<nav")]
    assert re.findall("<strong>(.*?)</strong>", tiles) == ["–", "–", "–", "–", "–", "0"]


@pytest.mark.usefixtures("no_gradcam")
def test_many_photos_have_an_interval(label_run: Path, tmp_path: Path) -> None:
    with (tmp_path / "photos.csv").open("w", newline="") as file:
        rows = [[f"new-{number}.png", number % 2, -1, -1] for number in range(52)]
        for number, (name, *_) in enumerate(rows):
            draw_scene(900 + number).save(tmp_path / name)
        csv.writer(file).writerows([["path", *EVIL], *rows])
    text = _report(label_run, tmp_path / "photos.csv", tmp_path / "page.html")
    assert re.search(r"95 % interval 0\.\d{3} to 0\.\d{3} \(bootstrap over photos\)", text)
    assert "mean over the 1 label that has photos" in text


@pytest.mark.usefixtures("no_gradcam")
def test_photos_that_are_gone_are_counted(label_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(label_run, tmp_path / "run"))
    (run / "photos" / "3.png").unlink()
    with (run / "photos.csv").open("w", newline="") as file:
        rows = [[f"photos/{number}.png", 1, 0, 0] for number in (13, 14)]
        csv.writer(file).writerows([["path", *EVIL], *rows])
    text = _report(run, run / "photos.csv", tmp_path / "page.html")
    assert "1 photo of split.csv is missing" in text


def test_photos_of_one_class_are_refused(
    label_run: Path, common_photos: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "page.html"
    given = [str(label_run / "model.bundle"), str(common_photos), "--out", str(out)]
    assert main(["report", *given]) == 2
    assert "the photos have one label each, but the bundle was trained on photos with several" in (
        capsys.readouterr().err
    )
    assert not out.exists()
