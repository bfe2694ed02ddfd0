"""Verbs that take labelled photos beside a bundle: which photos count, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.metrics.calibration import TEMPERATURES


def _break(photos: Path, name: str = "class_0/broken.png") -> Path:
    (photos / name).write_bytes(b"no picture")
    return photos / name


def test_calibration_is_by_the_runs_validation_photos(capsys, run: Path, photos: Path) -> None:
    bundle = run / "model.bundle"
    assert main(["calibrate", str(bundle), "--validation", str(photos)]) == 0
    out, err = capsys.readouterr()
    assert "fitted on 9 validation photos" in out
    assert "trained on" not in err


@pytest.mark.parametrize("verb", ["calibrate", "quantize", "tune"])
def test_photos_that_were_all_trained_on_cannot_validate_the_bundle(
    capsys, run: Path, photos: Path, verb: str
) -> None:
    listed = (run / "split.csv").read_text()
    (run / "split.csv").write_text(
        listed.replace(",validation", ",train").replace(",test", ",train")
    )
    before = (run / "model.bundle" / "manifest.json").read_bytes()
    assert main([verb, str(run / "model.bundle"), "--photos", str(photos)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"error: {photos}: all 36 photos were used to train the bundle, so they cannot validate "
        "it; give labelled photos that it was not trained on.\n"
    )
    assert (run / "model.bundle" / "manifest.json").read_bytes() == before


def test_the_photos_that_the_run_held_out_are_named(capsys, run: Path, photos: Path) -> None:
    update_bundle(
        Bundle.open(run / "model.bundle"), provenance={"dataset": {"photos": str(photos)}}
    )
    rows = (run / "split.csv").read_text().splitlines()
    trained = run / "trained.csv"
    trained.write_text("\n".join(row for row in rows if not row.endswith((",test", "tion"))))
    assert main(["calibrate", str(run / "model.bundle"), "--photos", str(trained)]) == 2
    assert f"give --photos {photos}, of which its run held some out." in capsys.readouterr().err


def test_of_partly_trained_photos_the_others_are_taken(capsys, run: Path, photos: Path) -> None:
    listed = (run / "split.csv").read_text().splitlines()
    renamed = [row.removesuffix(",validation") + ",train" for row in listed[:9] if "valid" in row]
    kept = [row for row in listed if not row.endswith((",validation", ",test"))]
    (run / "split.csv").write_text("\n".join(kept + renamed) + "\n")
    assert main(["calibrate", str(run / "model.bundle"), "--photos", str(photos)]) == 0
    out, err = capsys.readouterr()
    assert "fitted on 16 validation photos" in out
    assert "trained on" not in err


@pytest.mark.parametrize("verb", ["calibrate", "quantize", "tune"])
def test_notes_come_once_the_verb_goes_on(capsys, run: Path, photos: Path, verb: str) -> None:
    (run / "split.csv").unlink()
    packed = Bundle.open(run / "model.bundle").pack(run / "packed.zip")
    (photos / "class_0").rename(photos / "other")
    for bundle, said in ((packed, "a packed bundle"), (run / "model.bundle", "have the classes")):
        assert main([verb, str(bundle), "--photos", str(photos)]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert len(err.splitlines()) == 1


def test_a_temperature_at_its_limit_is_said(capsys, run: Path, photos: Path) -> None:
    assert main(["calibrate", str(run / "model.bundle"), "--validation", str(photos)]) == 0
    # Random weights: logits that are nearly even, and right by chance.
    calibration = Bundle.open(run / "model.bundle").manifest.calibration
    assert calibration["refused"] in TEMPERATURES
    assert "not used: the fit hit the end of its search range" in capsys.readouterr().out


def test_what_the_run_left_out_is_left_out_again(capsys, run: Path, photos: Path) -> None:
    broken = _break(photos)
    assert main(["evaluate", str(run / "model.bundle"), str(photos), "--split", "all"]) == 2
    assert "1 image cannot be evaluated" in capsys.readouterr().err
    name = broken.relative_to(photos)
    (run / "skipped.csv").write_text(f"path,kind,reason\n{name},unreadable,broken\n")
    assert main(["evaluate", str(run / "model.bundle"), str(photos), "--split", "all"]) == 0
    assert "18 of these 36 photos were trained on" in capsys.readouterr().err


def test_broken_photos_are_left_out_by_name(capsys, run: Path, photos: Path) -> None:
    _break(photos)
    (run / "split.csv").unlink()
    given, skip = [str(run / "model.bundle"), str(photos)], "--skip-broken"
    for arguments, said in (
        (["evaluate", *given, skip], "images 36"),
        (["report", *given, skip, "--out", str(run / "page.html")], "written to"),
        (["calibrate", given[0], "--validation", given[1], skip], "fitted on 36 validation photos"),
    ):
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert said in out
        assert "left out class_0/broken.png: not an image" in err


def test_a_class_without_a_readable_photo_is_named(capsys, run: Path, photos: Path) -> None:
    (run / "split.csv").unlink()
    for path in (photos / "class_1").iterdir():
        path.write_bytes(b"no picture")
    assert main(["evaluate", str(run / "model.bundle"), str(photos), "--skip-broken"]) == 0
    assert "left without photos: 'class_1'" in capsys.readouterr().err


def test_nothing_but_broken_photos_is_an_error(capsys, run: Path, photos: Path) -> None:
    for image in Dataset.open(photos).images:
        image.path.write_bytes(b"no picture")
    arguments = ["evaluate", str(run / "model.bundle"), str(photos), "--skip-broken"]
    assert main(arguments) == 2
    assert "none of 9 photos can be read" in capsys.readouterr().err
