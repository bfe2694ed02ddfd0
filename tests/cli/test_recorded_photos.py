"""Photos of the run that made a bundle are recognised, also when they have moved."""

from __future__ import annotations

import shutil
from argparse import Namespace
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import write_bundle
from pplcnet.cli.main import main
from pplcnet.cli.validation import find_validation
from tests.conftest import draw_image


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
    assert "split.csv is not next to the bundle" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["evaluate", "calibrate", "quantize", "tune", "report"])
@pytest.mark.parametrize("content", ["x", "", "path,label,split\nx\n"])
def test_a_split_csv_without_a_readable_row_is_refused(
    capsys, run: Path, photos: Path, verb: str, content: str
) -> None:
    (run / "split.csv").write_text(content)
    out = ["--out", str(run / "page.html")] if verb == "report" else []
    assert main([verb, str(run / "model.bundle"), "--photos", str(photos), *out]) == 2
    error = capsys.readouterr().err
    assert f"error: {run / 'split.csv'}: is damaged (" in error
    assert "move the file away to use all photos" in error


@pytest.mark.parametrize(
    "damage",
    ["x", f"{'x' * 5000}.png,class_0,train,zz", "nul\0.png,class_0,train", "a.png,cat,tran"],
)
def test_a_damaged_row_of_split_csv_costs_that_row_alone(
    capsys, run: Path, photos: Path, damage: str
) -> None:
    with (run / "split.csv").open("a") as file:
        file.write(f"{damage}\n")
    assert main(["evaluate", str(run / "model.bundle"), str(photos)]) == 0
    assert "images 9" in capsys.readouterr().out


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
        assert ("next to the bundle is of another run" in err) == (expected == 36)
