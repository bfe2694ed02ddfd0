"""`pplcnet check` of photos with boxes: every fault at once, and exit code 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.cli.main import main
from tests.data.layouts.boxes import SIZE, annotation, write_coco


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = [f"{at}.jpg" for at in range(1, 5)]
    for at, name in enumerate(names):  # no two of them alike
        blocks = np.random.default_rng(at).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(blocks).resize(SIZE, Image.Resampling.NEAREST).save(tmp_path / name)
    boxes = [annotation(at, label, 5, 5, 20, 20 + label) for at in (1, 2) for label in (3, 7)]
    write_coco(tmp_path / "train.json", names, boxes)
    return tmp_path


def test_good_boxes_have_no_problems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "note: train.json: categories are matched by name, not by id" in out
    assert "note: 4 boxes: 2 cat, 2 dog." in out
    assert "note: 2 photos without boxes are kept" in out


def test_all_faults_are_told_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "train.json"
    content = json.loads(path.read_text())
    content["annotations"] += [
        annotation(3, 7, 10, 10, 0, 5),
        annotation(3, 7, 30, 10, -20, 5),
        annotation(3, 7, 100, 10, 10, 10),
        annotation(3, 7, 40, 10, 70, 10),
        annotation(1, 7, 5, 5, 20, 27),
        annotation(4, 3, 0.1, 0.2, 0.3, 0.4),
    ]
    content["categories"].append({"id": 9, "name": "ant"})
    path.write_text(json.dumps(content))
    assert main(["check", str(folder), "--json", "-"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["kind"] for each in told["problems"]] == [
        "normalised", "swapped corners", "no area", "outside", "overhanging", "same box twice",
        "empty class",
    ]  # fmt: skip
    assert told["problems"][2]["images"] == ["3.jpg"]
