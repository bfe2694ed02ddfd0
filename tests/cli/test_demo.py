"""The demo: the main job on digits, as `make demo` runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.cli.main import main


def test_the_demo_does_not_replace_its_run_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "model.bundle").mkdir(parents=True)
    facts = {"kind": "train", "photos": str(tmp_path / "photos"), "digest": "0", "recipe": {}}
    (run / "run.json").write_text(json.dumps(facts))
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "already holds a demo's run; --overwrite replaces it" in capsys.readouterr().err
    assert not (tmp_path / "photos").exists()


@pytest.mark.slow
def test_the_demo_of_detection_finds_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "detection", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for part in ("found", "latency", "bundle", "report", "pplcnet train PHOTOS"):
        assert part in out
    figures = json.loads((tmp_path / "run/evaluation/evaluation.json").read_text())
    assert figures["box_map"] >= 0.3
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.slow
def test_the_demo_of_segmentation_knows_the_pixels_of_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "segmentation", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for part in ("segmented", "latency", "bundle", "report", "pplcnet train PHOTOS"):
        assert part in out
    figures = json.loads((tmp_path / "run/evaluation/evaluation.json").read_text())
    assert figures["miou"] >= 0.5
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.slow
def test_the_demo_reads_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for part in ("classified", "latency", "bundle", "report", "pplcnet train PHOTOS"):
        assert part in out
    figures = json.loads((tmp_path / "run/evaluation/evaluation.json").read_text())
    assert figures["top1"] >= 0.97
    assert len(list((tmp_path / "photos").rglob("*.png"))) == 1797


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("digits", ["0/0000.png", "1/own.png"]),
        ("detection", ["images/0000.jpg", "train.json"]),
        ("segmentation", ["images/0000.jpg", "masks/0000.png", "classes.json"]),
    ],
)
def test_photos_of_a_user_in_folders_of_the_same_names_are_left_alone(
    what: str, names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"the user's")
    assert main(["demo", what, "--out", str(tmp_path), "--overwrite"]) == 2
    assert "holds photos that are not the demo's" in capsys.readouterr().err
    assert [(tmp_path / "photos" / name).read_bytes() for name in names] == [
        b"the user's" for _ in names
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["photos"]
