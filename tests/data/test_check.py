"""`pplcnet check`: what it finds, says and writes."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from pplcnet.cli.check import JSON_KEYS
from pplcnet.cli.main import main
from pplcnet.data.check import Check, check
from pplcnet.data.dataset import Dataset
from pplcnet.tasks import find
from tests.conftest import draw_scene, write_photos


def checked_of(dataset: Dataset) -> Check:
    return check(dataset, find(dataset.task))


def _save_twice(one: Path, other: Path) -> None:
    """The same scene, the second time smaller and as JPEG."""
    draw_scene(1).save(one)
    draw_scene(1).resize((100, 78)).save(other, quality=80)


def test_sound_photos_end_with_0(capsys, photos: Path) -> None:
    assert main(["check", str(photos)]) == 0
    out = capsys.readouterr().out
    assert "36 photos in 3 classes" in out
    assert out.endswith("no problems found.\n")


def test_a_near_duplicate_under_another_label_is_a_problem(capsys, photos: Path) -> None:
    _save_twice(photos / "class_0" / "scene.png", photos / "class_1" / "again.jpg")
    assert main(["check", str(photos)]) == 1
    assert (
        "near-duplicates with two labels: class_0/scene.png (class_0), class_1/again.jpg (class_1)"
        in capsys.readouterr().out
    )


def test_a_near_duplicate_in_another_split_is_a_problem(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_photos(tmp_path / split)
        for path in sorted((tmp_path / split).rglob("*.png"))[split == "test" :: 2]:
            path.unlink()
    _save_twice(
        tmp_path / "train" / "class_2" / "scene.png", tmp_path / "test" / "class_2" / "again.jpg"
    )
    (problem,) = checked_of(Dataset.open(tmp_path)).problems
    assert "near-duplicates in two splits" in problem.text
    assert len(problem.images) == 2


def test_a_near_duplicate_in_the_same_class_is_noted(photos: Path) -> None:
    _save_twice(photos / "class_0" / "scene.png", photos / "class_0" / "again.jpg")
    checked = checked_of(Dataset.open(photos))
    assert not checked.problems
    assert "2 photos are near-duplicates" in checked.notes[-1]


def test_exact_copies_are_the_audits_alone(photos: Path) -> None:
    shutil.copy(photos / "class_0" / "000.png", photos / "class_1" / "same.png")
    checked = checked_of(Dataset.open(photos))
    assert checked.groups == ()
    assert [each.kind for each in checked.problems] == ["two labels"]


def test_json_has_the_keys_that_the_help_names(capsys, photos: Path, tmp_path: Path) -> None:
    (photos / "class_0" / "zero.png").write_bytes(b"")
    assert main(["check", str(photos), "--json", "-"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found) == list(JSON_KEYS)
    assert found["counts"]["class_0"] == {"all": 13}
    assert found["problems"] == [
        {
            "kind": "unreadable",
            "text": "unreadable: class_0/zero.png: the file is empty (zero bytes).",
            "images": ["class_0/zero.png"],
        }
    ]
    assert found["sizes"]["short_side"]["most"] == 32
    assert sum(found["sizes"]["aspect"]["histogram"]["counts"]) == 36
    assert main(["check", str(photos), "--json", str(tmp_path / "check.json")]) == 1
    assert json.loads((tmp_path / "check.json").read_text()) == found


def test_a_table_is_named_rather_than_its_folder(
    capsys, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(photos)
    rows = [f"{each.relative_to(photos)},{each.parent.name}" for each in photos.rglob("*.png")]
    Path("lab.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    page = tmp_path / "check.html"
    main(["check", "lab.csv", "--html", str(page)])
    assert capsys.readouterr().out.startswith("lab.csv: 36 photos in 3 classes")
    assert "<title>Check of lab.csv</title>" in page.read_text()
    main(["check", "lab.csv", "--json", "-"])
    assert json.loads(capsys.readouterr().out)["photos"] == "lab.csv"


def test_without_imagehash_the_rest_is_checked(capsys, photos: Path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "imagehash" else find(name)
    )
    assert main(["check", str(photos)]) == 0
    assert "near-duplicates were not searched for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "no such folder or file"),
        (["PHOTOS", "--html", "nowhere/page.html"], "its folder does not exist"),
        (["PHOTOS", "--json", "nowhere/page.json"], "its folder does not exist"),
    ],
)
def test_wrong_input_ends_with_2(capsys, common_photos: Path, arguments, complaint: str) -> None:
    given = [str(common_photos) if each == "PHOTOS" else each for each in arguments]
    assert main(["check", *given]) == 2
    assert complaint in capsys.readouterr().err


def test_several_labels_per_image_are_counted_and_compared(tmp_path: Path) -> None:
    _save_twice(tmp_path / "one.png", tmp_path / "again.jpg")
    for number in range(2, 5):
        draw_scene(number).save(tmp_path / f"{number}.png")
    rows = ["one.png,red;blue", "again.jpg,red", "2.png,blue", "3.png,red", "4.png,"]
    (tmp_path / "table.csv").write_text("path,labels\n" + "\n".join(rows))
    checked = checked_of(Dataset.open(tmp_path / "table.csv"))
    assert checked.counts() == {"blue": {"all": 2}, "red": {"all": 3}}
    (problem,) = checked.problems
    assert problem.text == ("near-duplicates with two labels: one.png (blue;red), again.jpg (red)")
