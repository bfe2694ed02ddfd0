"""Odd names in folders, manifests, tables, recipes and weights are shown and do no harm."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import write_bundle
from pplcnet.cli.main import main
from tests.conftest import write_photos

HOSTILE = "\x1b]0;gone\x07\x9b31m\u202e\nerror: all is lost"


def _said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    said = out + err
    assert all(each.isprintable() or each == "\n" for each in said), repr(said)
    assert "\nerror: all is lost" not in said
    return f"{code} {said}"


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": HOSTILE},
        {"files": {HOSTILE: {"sha256": "0", "bytes": 1}}},
        {"variants": {HOSTILE: {"file": HOSTILE}}},
        {"decoding": {"temperature": HOSTILE}},
        {"task": HOSTILE},
        {"decoding": {"thresholds": {HOSTILE: 3}}},
        {HOSTILE: 1},
    ],
    ids=lambda change: next(iter(change)) if HOSTILE not in change else "unknown",
)
def test_values_of_a_manifest(capsys, common_bundle: Path, tmp_path: Path, change) -> None:
    bundle = Path(shutil.copytree(common_bundle, tmp_path / "a.bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | change))
    _said(capsys, "inspect", bundle)


def test_classes_of_a_bundle(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(common_bundle, tmp_path / "a.bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["classes"][0] = HOSTILE
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    _said(capsys, "inspect", bundle)
    _said(capsys, "predict", bundle, common_photos, "--top-k", 3)


def test_names_in_a_table(capsys, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", classes=2, each=2)
    table = tmp_path / "t.csv"
    for header, row in (
        ("path,label", f'"{HOSTILE}","a"'),
        ("path,label", f'photos/class_0/000.png,"{HOSTILE}"'),
        (f'path,"{HOSTILE}"', "photos/class_0/000.png,7"),
        (f'path,label,"{HOSTILE}"', "photos/class_0/000.png,a"),
    ):
        table.write_text(f"{header}\n{row}\n", encoding="utf-8")
        assert _said(capsys, "check", table).startswith("2 error: ")


def test_names_of_folders(capsys, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", classes=2, each=2)
    (tmp_path / "photos" / "class_0").rename(tmp_path / "photos" / HOSTILE)
    _said(capsys, "check", tmp_path / "photos")
    _said(capsys, "train", tmp_path / "photos", "--out", tmp_path / HOSTILE)


def test_fields_of_a_recipe(capsys, tmp_path: Path) -> None:
    recipe = tmp_path / "a.toml"
    for text in (f"{json.dumps(HOSTILE)} = 1", f"model = {json.dumps(HOSTILE)}", f"a = {HOSTILE}"):
        recipe.write_text(text, encoding="utf-8")
        assert _said(capsys, "train", "p", "--out", "o", "--recipe", recipe).startswith("2 error: ")
    assert _said(capsys, "train", "p", "--out", "o", "--set", HOSTILE).startswith("2 error: ")
    assert _said(capsys, "train", "p", "--out", "o", "--model", HOSTILE).startswith("2 error: ")


def test_names_of_tensors(capsys, tmp_path: Path, common_photos: Path) -> None:
    np.savez(tmp_path / "a.npz", **{HOSTILE: np.zeros(3)})
    given = ["--photos", common_photos, "--out", tmp_path / "b"]
    said = _said(capsys, "convert", tmp_path / "a.npz", "--model", "pplcnet_x0_25", *given)
    assert said.startswith("2 error: ")


def test_a_page_has_no_invisible_formatting(capsys, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    write_photos(tmp_path / "photos", classes=2, each=3)
    (tmp_path / "photos" / "class_0").rename(tmp_path / "photos" / "a\u202eb")
    (tmp_path / "photos" / "class_1" / "000.png").rename(
        tmp_path / "photos" / "class_1" / "c\u2066d.png"
    )
    page = tmp_path / "page.html"
    _said(capsys, "check", tmp_path / "photos", "--html", page)
    text = page.read_text(encoding="utf-8")
    assert "\u202e" not in text
    assert "\u2066" not in text
    assert "a\\u202eb" in text


@pytest.mark.parametrize("label", ["$_$ price", "5$ to 10$ shirts", "靴下"])
def test_names_of_any_letters_are_drawn(run: Path, photos: Path, label: str) -> None:
    opened = Bundle.open(run / "model.bundle")
    classes = (label, *opened.classes[1:])
    write_bundle(
        opened.path,
        replace(opened.manifest, classes=classes),
        {name: opened.read(name) for name in opened.manifest.files},
    )
    (photos / "class_0").rename(photos / label)
    (run / "split.csv").unlink()
    assert main(["evaluate", str(opened.path), str(photos), "--out", str(run / "out")]) == 0
    assert (run / "out" / "confusion.png").is_file()
    assert label in (run / "out" / "evaluation.md").read_text()


def _with_odd_name(photos: Path) -> None:
    try:
        os.rename(photos / "class_0" / "000.png", os.fsencode(photos) + b"/class_0/\xff0.png")
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8")


def test_a_name_that_is_not_utf8_is_a_fault_of_the_photos(capsys, photos: Path) -> None:
    _with_odd_name(photos)
    assert main(["check", str(photos)]) == 1
    assert r"class_0/\xff0.png: its name is not UTF-8; rename it" in capsys.readouterr().out
    assert main(["train", str(photos), "--out", str(photos.parent / "out")]) == 2
    assert r"class_0/\xff0.png: its name is not UTF-8" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_can_be_evaluated(run: Path, photos: Path) -> None:
    _with_odd_name(photos)
    given = [str(run / "model.bundle"), str(photos), "--split", "all"]
    assert main(["report", *given, "--out", str(run / "page.html")]) == 0
