"""The pages as text: everything is in them, nothing is loaded, names are escaped."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from pathlib import Path

import pytest

from pplcnet.cli.main import main
from pplcnet.runtime.classifier import Classifier
from tests.pages.conftest import EVIL
from tests.pages.reader import PageReader, cells_of

PAGES = ("report.html", "label_report.html", "check.html")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded_from_anywhere(run: Path, name: str) -> None:
    text = (run / name).read_text()
    assert not re.search(r"https?:", text)
    for tag, attributes in PageReader(text).tags:
        for key in ("src", "href", "action", "data"):
            assert (attributes.get(key) or "#")[:5] in ("data:", *_anchors(attributes.get(key)))
        assert tag not in ("iframe", "object", "embed", "base")


def _anchors(value: str | None) -> tuple[str, ...]:
    return ((value or "#")[:5],) if (value or "#").startswith("#") else ()


@pytest.mark.parametrize("name", PAGES)
def test_names_stay_text(run: Path, name: str) -> None:
    page = PageReader((run / name).read_text())
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    data = [{"type": "application/json", "id": "photos-of-cells"}] if name != PAGES[2] else []
    assert scripts == [*data, {}]
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert "<img src=x onerror='window.hurt=1'>" in page.text
    assert "<b onclick=alert(1)>" in page.text


def test_the_report_holds_every_section(run: Path) -> None:
    page = PageReader((run / "report.html").read_text())
    assert page.sections() == [
        "made", "training", "classes", "confusion", "mistakes", "unsure", "calibration",
        "thresholds", "copies", "variants", "suspects",
    ]  # fmt: skip
    for part in (
        "Chosen on 9 validation photos, measured on the 13 reported ones",
        "1 of 13 photos are near-duplicates (perceptual hash) of one of the 15 training photos",
        "before temperature scaling",
        "The coloured areas are the evidence for a class (Grad-CAM)",
        "2 photos from suspects.csv",
    ):
        assert part in page.text


def test_cells_count_every_photo(run: Path) -> None:
    text = (run / "report.html").read_text()
    data = cells_of(text)
    assert sum(cell["count"] for cell in data["cells"].values()) == 13
    assert len(data["photos"]) == 13


def test_many_classes_are_listed_by_what_is_confused_most(run: Path, pairs_page: Path) -> None:
    page = PageReader(pairs_page.read_text())
    assert "The most frequent confusions; click a count to see its photos." in page.text
    tables = [attributes.get("class") for tag, attributes in page.tags if tag == "table"]
    assert "pairs" in tables
    assert "confusion" not in tables
    listed = sum("data-cell" in attributes for tag, attributes in page.tags if tag == "button")
    cells = cells_of((run / "report.html").read_text())["cells"]
    pairs = [key for key in cells if len(set(key.split(","))) == 2]
    assert listed == 3
    assert f"and {len(pairs) - 3} more pair" in page.text


def test_what_is_listed_of_many_classes_is_folded(run: Path, pairs_page: Path) -> None:
    for page, folds in ((run / "report.html", 1), (pairs_page, 3)):
        tags = PageReader(page.read_text()).tags
        assert [tag for tag, _ in tags].count("details") == folds
    assert "The 3 classes" in pairs_page.read_text()


@pytest.mark.parametrize("name", PAGES)
def test_an_id_stands_once_in_a_page(run: Path, name: str) -> None:
    tags = PageReader((run / name).read_text()).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.usefixtures("no_gradcam")
def test_a_report_without_keras_says_so(run: Path, tmp_path: Path) -> None:
    _report(run / "model.bundle", run / "split.csv", tmp_path / "page.html")
    text = PageReader((tmp_path / "page.html").read_text()).text
    assert "Keras is not installed here, which Grad-CAM needs" in text


@pytest.mark.usefixtures("no_gradcam")
def test_a_bundle_alone_is_reported_on_photos_of_its_classes(
    common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(common_bundle, tmp_path / "model.bundle")
    _report(tmp_path / "model.bundle", common_photos, tmp_path / "page.html")
    text = PageReader((tmp_path / "page.html").read_text()).text
    for part in (
        "On all 36 photos of",
        "Chosen on the reported photos themselves",
        "It is not known which photos were trained on",
        "no temperature was fitted",
    ):
        assert part in text


@pytest.mark.usefixtures("no_gradcam")
def test_a_class_without_reported_photos_has_dashes(run: Path, tmp_path: Path) -> None:
    with (tmp_path / "photos.csv").open("w", newline="") as file:
        rows = [[run / "photos" / f"{at}_{8 + at}.png", EVIL[at]] for at in (0, 1)]
        csv.writer(file).writerows([["path", "label"], *rows])
    _report(run / "model.bundle", tmp_path / "photos.csv", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "mean over the 2 classes that have photos" in text
    table = text[text.index('<section id="classes">') : text.index('<section id="confusion">')]
    (row,) = [row for row in table.split("<tr>") if '<td class="n">0</td>' in row]
    assert row.count(">–<") >= 2
    assert "bar" not in row


@pytest.mark.usefixtures("no_gradcam")
def test_thresholds_are_printed_in_full_with_what_they_rest_on(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    given = [str(run / "model.bundle"), str(run / "split.csv"), "--out", str(out)]
    assert main(["report", *given, "--precision", "0.999999", "--precision", "0.1"]) == 0
    text = out.read_text()
    table = text[text.index('<section id="thresholds">') : text.index('<section id="copies">')]
    assert '<th scope="row">99.9999 %</th>' in table
    row = table[table.index(">10 %<") :]
    threshold, few, right, count = re.findall(
        r'<td class="n">(\d\.\d{4,})<.*?based on only (\d) answers'
        r'.*<td class="n">(\S+) % <span class="range">of (\d)</span></td></tr>',
        row,
        re.DOTALL,
    )[0]
    validation = [photo for photo in _rows(run / "split.csv") if photo["split"] == "validation"]
    answers = Classifier(run / "model.bundle").predict_many(
        run / each["path"] for each in validation
    )
    kept = [
        prediction.best.label == photo["label"]
        for prediction, photo in zip(answers, validation, strict=True)
        if prediction.best.probability >= float(threshold)
    ]
    assert len(kept) == int(few) == int(count)
    assert f"{100 * sum(kept) / len(kept):.1f}" == right


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _report(bundle: Path, photos: Path, out: Path) -> None:
    assert main(["report", str(bundle), str(photos), "--out", str(out)]) == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--out", "nowhere/page.html"], "its folder does not exist"),
        (["--out", "."], "is a folder; give the name of a file"),
        (["--out", "page.html", "--split", "validation"], "has no validation photos"),
        (["--out", "page.html", "--suspects", "no.csv"], "no.csv: no such file"),
        (
            ["--out", "page.html", "--precision", "90"],
            "--precision: '90' is not allowed; it must be a number from 0 to 1",
        ),
    ],
)
def test_wrong_input_ends_with_2(
    capsys, monkeypatch, tmp_path, common_bundle: Path, common_photos: Path, options, complaint
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["report", str(common_bundle), str(common_photos), *options])
    except SystemExit as ended:  # wrong arguments end in the parser
        code = ended.code
    assert code == 2
    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_jinja2_the_extra_is_named(
    capsys, monkeypatch, tmp_path: Path, common_bundle: Path, common_photos: Path
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    out = tmp_path / "page.html"
    assert main(["report", str(common_bundle), str(common_photos), "--out", str(out)]) == 2
    assert "needs jinja2, which is not installed: pip install 'pplcnet[report]'" in (
        capsys.readouterr().err
    )
    assert not out.exists()
