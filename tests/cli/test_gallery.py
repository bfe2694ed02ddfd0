"""pplcnet gallery: built, added to, searched, evaluated, removed from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pplcnet.cli.main import main
from tests.conftest import write_photos


def _run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["gallery", *map(str, arguments)]) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def test_the_whole_way(
    common_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = write_photos(tmp_path / "photos", 4, 8), tmp_path / "g"
    held_out = tmp_path / "held out"
    for label in range(4):
        (held_out / f"class_{label}").mkdir(parents=True)
        for number in (6, 7):
            name = f"class_{label}/{number:03d}.png"
            (photos / name).rename(held_out / name)
    shutil.move(photos / "class_3", tmp_path / "later")

    said = _run(capsys, "build", common_bundle, photos, "--out", out, "--false-acceptance", "0.2")
    assert "18 photos of 3 classes" in said
    assert "for a false acceptance of 0.2; on 18 photos" in said

    photo = photos / "class_1" / "000.png"
    assert _run(capsys, "search", out, photo).startswith(
        f"{photo}: class_1 1.000 (class_1/000.png)"
    )
    said = _run(capsys, "search", out, photo, "--threshold", "1", "--json", "--top-k", "2")
    values = json.loads(said)
    assert values["path"] == str(photo)
    assert len(values["matches"]) == 2

    said = _run(capsys, "evaluate", out, held_out, "--out", tmp_path / "figures.json")
    assert "6 photos of the gallery's classes, 2 of others" in said
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["known_photos"] == 6
    assert figures["recall_at_1"]["value"] is not None
    assert figures["auroc"] is not None

    said = _run(capsys, "add", out, tmp_path / "later", "--class", "class_3")
    assert "6 photos added" in said
    assert "24 photos of 4 classes" in said
    said = _run(capsys, "add", out, photos)
    assert "0 photos added, 18 already in it left out" in said

    said = _run(capsys, "remove", out, "--class", "class_0", "--photo", "class_1/000.png")
    assert "17 photos of 3 classes" in said
    assert "class_1/001.png" in _run(capsys, "show", out, "--names").splitlines()
    assert "      5  class_1" in _run(capsys, "show", out)
    assert json.loads(_run(capsys, "show", out, "--json"))["format"] == "pplcnet gallery"


def test_a_strange_photo_is_none_of_these_and_a_broken_one_an_error(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, broken = tmp_path / "g", tmp_path / "broken.jpg"
    broken.write_text("no photo")
    _run(capsys, "build", common_bundle, common_photos, "--out", out)
    photo = common_photos / "class_1" / "000.png"
    (tmp_path / "new").mkdir()
    lines = _run(capsys, "search", out, broken, photo, "--threshold", "1.0").splitlines()
    assert lines[0] == f"{broken}: error: not an image but plain text; download it again."
    assert lines[1].startswith(f"{photo}: ")
    from PIL import Image

    Image.new("RGB", (40, 40), "white").save(tmp_path / "white.png")
    said = _run(capsys, "search", out, tmp_path / "white.png", "--threshold", "1.0")
    assert f"{tmp_path / 'white.png'}: none of these; nearest: class_" in said
    assert main(["gallery", "search", str(out), str(broken)]) == 1


def test_wrong_input_is_one_line(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "g"
    _run(capsys, "build", common_bundle, common_photos, "--out", out)
    other = Path(shutil.copytree(common_bundle, tmp_path / "other.bundle"))
    from dataclasses import replace

    from pplcnet.bundle.bundle import Bundle
    from pplcnet.bundle.writing import update_bundle

    preprocessing = replace(Bundle.open(other).manifest.preprocessing, crop_fraction=0.5)
    update_bundle(Bundle.open(other), preprocessing=preprocessing)
    photo = common_photos / "class_1" / "000.png"
    cases = {
        "already holds a gallery": ["build", common_bundle, common_photos, "--out", out],
        "no such gallery": ["search", tmp_path / "none", photo],
        "is not a gallery": ["show", common_photos],
        "was made with another network": ["search", out, photo, "--bundle", other],
        "is not there; give its path": ["search", out, photo, "--bundle", tmp_path / "gone"],
        "nothing to remove": ["remove", out],
        "unknown class 'class_7'": ["remove", out, "--class", "class_7"],
        "no photos given; give files or folders.": ["search", out],
        "unknown verb 'gallery find'": ["find", out],
    }
    for said, arguments in cases.items():
        error = _run(capsys, *arguments, code=2).strip()
        assert said in error
        assert error.startswith("error: ")
        assert "\n" not in error


def test_the_verbs_of_a_gallery_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "gallery search" in _run(capsys, "--help")
    assert main(["gallery"]) == 2
    assert "gallery build" in capsys.readouterr().out
