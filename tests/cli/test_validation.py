"""Verbs that take labelled photos beside a bundle: which photos count, and what is said of them."""

from __future__ import annotations

import os
import shutil
from argparse import Namespace
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle, write_bundle
from pplcnet.cli.main import main
from pplcnet.cli.validation import find_validation
from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from pplcnet.metrics.calibration import TEMPERATURES
from pplcnet.runtime.classifier import Classifier
from tests.conftest import draw_image

PARTS = ("train", "train", "validation", "test")


@pytest.fixture
def run(common_bundle: Path, photos: Path, tmp_path: Path) -> Path:
    """A run's folder of `photos`: 18 to train on, 9 for validation, 9 for the test."""
    folder = tmp_path / "run"
    shutil.copytree(common_bundle, folder / "model.bundle")
    rows = [
        f"{image.path.resolve()},class_{image.shown[0]},{PARTS[at % 4]}"
        for at, image in enumerate(Dataset.open(photos).images)
    ]
    (folder / "split.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return folder


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
def test_photos_that_were_all_trained_on_cannot_judge_the_bundle(
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


def test_a_bundle_away_from_its_run_may_have_been_trained_on_the_photos(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(common_bundle), str(common_photos), "--out", str(page)]) == 0
    assert "the bundle was made from these photos" in capsys.readouterr().err
    assert "The bundle was made from these photos" in page.read_text()


def test_photos_that_were_trained_on_are_no_near_duplicates(run: Path, photos: Path) -> None:
    page = run / "page.html"
    arguments = ["report", str(run / "model.bundle"), str(photos), "--split", "all"]
    assert main([*arguments, "--out", str(page)]) == 0
    text = page.read_text()
    assert "<b>18 of these photos were trained on</b>" in text
    assert "<b>18 of the reported photos are training photos themselves.</b> The rest" in text
    assert main([*arguments[:-1], "train", "--out", str(page)]) == 0
    text = page.read_text()
    assert "<b>18 of the reported photos are training photos themselves.</b></p>" in text
    assert "of 256 bits differ" not in text


def test_a_temperature_of_one_can_be_a_fitted_one(run: Path, photos: Path) -> None:
    bundle, page = Bundle.open(run / "model.bundle"), run / "page.html"
    facts = {"temperature": 1.0, "images": 9, "error_before": 0.1, "error_after": 0.1}
    update_bundle(bundle, calibration=facts)
    assert main(["report", str(bundle.path), str(photos), "--out", str(page)]) == 0
    assert "no temperature was fitted" not in page.read_text()
    assert "after (temperature 1.00)" in page.read_text()


@pytest.mark.parametrize("content", ["garbage\n", "", "path,label\nx,y\n"])
def test_a_list_that_is_none_of_suspects_is_refused(
    capsys, run: Path, photos: Path, content: str
) -> None:
    listed = run / "listed.csv"
    listed.write_text(content)
    given = ["report", str(run / "model.bundle"), str(photos), "--out", str(run / "page.html")]
    assert main([*given, "--suspects", str(listed)]) == 2
    assert "--suspects takes the suspects.csv" in capsys.readouterr().err


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


def _with_checksums(run: Path) -> None:
    """What a run writes by now: the same split.csv with the sha256 of every photo."""
    lines = (run / "split.csv").read_text().splitlines()
    rows = [f"{lines[0]},sha256"]
    for line in lines[1:]:
        content = Path(line.split(",")[0]).read_bytes()
        rows.append(f"{line},{sha256(content).hexdigest()}")
    (run / "split.csv").write_text("\n".join(rows) + "\n")


def _move(photos: Path, how: str) -> Path:
    """The photos at another place."""
    target = photos.with_name("elsewhere")
    if how == "copied":
        shutil.copytree(photos, target)
        return target
    photos.rename(target)
    for number, path in enumerate(sorted(target.rglob("*.png"))):
        if how == "renamed":
            path.rename(path.with_name(f"new-{number}.png"))
        elif how == "relabelled" and number % 12 < 2:
            label = (int(path.parent.name[-1]) + 1) % 3
            path.rename(target / f"class_{label}" / f"new-{number}.png")
    return target


@pytest.mark.parametrize("how", ["copied", "moved", "renamed", "relabelled"])
def test_photos_of_the_run_are_known_by_content_wherever_they_are(
    capsys, run: Path, photos: Path, how: str
) -> None:
    _with_checksums(run)
    elsewhere = _move(photos, how)
    given = [str(run / "model.bundle"), str(elsewhere)]
    assert main(["evaluate", *given]) == 0
    out, err = capsys.readouterr()
    assert f"on test of {elsewhere} (split.csv of its run):" in out
    assert "images 9" in out
    assert "36 photos of the bundle's run were recognised by content under another path" in err
    assert "were trained on" not in err
    assert main(["calibrate", given[0], "--validation", given[1]]) == 0
    assert "fitted on 9 validation photos" in capsys.readouterr().out
    found = find_validation(Namespace(bundle=given[0], validation=given[1], skip_broken=False))
    assert len(found.validation) == 9
    assert len(found.training) == 18
    assert all(path.is_relative_to(elsewhere) for path in found.training)


def test_copies_of_trained_photos_among_others_are_said(
    capsys, run: Path, photos: Path, tmp_path: Path
) -> None:
    _with_checksums(run)
    for label in range(3):
        folder = tmp_path / "new" / "test" / f"class_{label}"
        folder.mkdir(parents=True)
        draw_image(label, 900).save(folder / "new.png")
        shutil.copy(photos / f"class_{label}" / "000.png", folder / "a copy.png")  # trained on
    given = [str(run / "model.bundle"), str(tmp_path / "new")]
    assert main(["evaluate", *given]) == 0
    out, err = capsys.readouterr()
    assert "images 3" in out
    assert "the bundle's run trained on 3 photos in the test split of these photos" in err
    assert main(["evaluate", *given, "--split", "all"]) == 0
    assert "3 of these 6 photos were trained on" in capsys.readouterr().err


def test_another_photo_under_a_trained_photos_path_is_not_trained_on(
    capsys, run: Path, photos: Path
) -> None:
    _with_checksums(run)
    draw_image(0, 900).save(photos / "class_0" / "000.png")
    arguments = ["evaluate", str(run / "model.bundle"), str(photos), "--split", "all"]
    assert main(arguments) == 0
    assert "17 of these 36 photos were trained on" in capsys.readouterr().err


def test_moved_photos_are_known_by_name_where_there_are_no_checksums(
    capsys, run: Path, photos: Path
) -> None:
    elsewhere = _move(photos, "moved")
    given = [str(run / "model.bundle"), str(elsewhere)]
    assert main(["evaluate", *given]) == 0
    out, err = capsys.readouterr()
    assert "images 9" in out
    assert "36 photos were recognised by name" in err
    for path in sorted(elsewhere.rglob("*.png")):
        path.rename(path.with_name(f"new-{path.name}"))
    assert main(["evaluate", *given]) == 0
    out, err = capsys.readouterr()
    assert "images 36" in out
    assert "photos that were moved and renamed since are not recognised" in err


def test_a_bundle_without_its_split_csv_says_so_for_photos_of_any_folder(
    capsys, common_bundle: Path, photos: Path
) -> None:
    assert main(["evaluate", str(common_bundle), str(photos), "--out", str(photos / "out")]) == 0
    assert "split.csv is not beside the bundle" in capsys.readouterr().err


def test_a_damaged_split_csv_is_not_called_missing(capsys, run: Path, photos: Path) -> None:
    elsewhere = _move(photos, "moved")
    (run / "split.csv").write_text("x")
    assert main(["evaluate", str(run / "model.bundle"), str(elsewhere)]) == 0
    assert "split.csv beside the bundle is damaged" in capsys.readouterr().err


def test_a_split_csv_of_another_run_is_not_believed(capsys, run: Path, photos: Path) -> None:
    opened = Bundle.open(run / "model.bundle")
    provenance = {**opened.manifest.provenance, "run": "one"}
    write_bundle(
        opened.path,
        replace(opened.manifest, provenance=provenance),
        {name: opened.read(name) for name in opened.manifest.files},
    )
    arguments = ["evaluate", str(opened.path), str(photos)]
    for text, expected in (('{"id": "one"}', 9), ('{"id": "two"}', 36), ("[" * 100_000, 9)):
        (run / "run.json").write_text(text)
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert f"images {expected}" in out
        assert ("beside the bundle is of another run" in err) == (expected == 36)


def test_a_damaged_split_csv_is_no_traceback(capsys, run: Path, photos: Path) -> None:
    long_name = "x" * 5000
    with (run / "split.csv").open("ab") as file:
        file.write(f"{long_name}.png,class_0,train,zz\nnul\0.png,class_0,train,\n".encode())
    assert main(["evaluate", str(run / "model.bundle"), str(photos)]) == 0
    assert "images 9" in capsys.readouterr().out


def test_predict_answers_what_it_can_reach_and_names_the_rest(
    capsys, common_bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "class_0" / "IMG.HEIC").touch()
    os.mkfifo(photos / "class_0" / "pipe.png")
    (photos / "class_0" / "self").symlink_to(".")
    scan = os.scandir

    def scandir(folder):
        if Path(folder) == photos / "class_1":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert main(["predict", str(common_bundle), str(photos)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 24
    assert "2 files were ignored (1 .heic, 1 of a special type (pipe, socket or device))" in err
    assert "class_1 (Permission denied)" in err
    answers = Classifier(common_bundle).predict_many(photos)
    assert sum(1 for _, _ in zip(range(24), answers, strict=False)) == 24
    with pytest.raises(DatasetError, match="1 folder in it cannot be read"):
        next(answers)
