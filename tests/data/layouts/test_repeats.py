"""A file counts once, however often and however spelled it is listed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits
from pplcnet.tasks.audit import audit
from tests.conftest import draw_image


def _fill(folder: Path, label: int, each: int = 8) -> Path:
    folder.mkdir(parents=True)
    for number in range(each):
        draw_image(label, number).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two class folders, a and b, of eight photos."""
    _fill(tmp_path / "a", 0)
    _fill(tmp_path / "b", 1)
    return tmp_path


def _table(folder: Path, rows: list[str], header: str = "path,label") -> Dataset:
    (folder / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    return Dataset.open(folder / "table.csv")


def _rows(spell: Callable[[str], str] = str) -> list[str]:
    return [f"{spell(f'{label}/{number}.png')},{label}" for label in "ab" for number in range(8)]


def _real(dataset: Dataset) -> set[str]:
    return {os.path.realpath(image.path) for image in dataset.images}


def test_a_path_listed_three_times_stays_in_one_split(folder: Path) -> None:
    checked = audit(_table(folder, _rows() * 3))
    assert len(checked.dataset) == 16
    assert checked.faults == ()
    assert "32 entries repeat a file" in checked.notes[0]
    parts = draw_splits(checked.dataset, validation=0.2, test=0.2, seed=0, groups=checked.copies)
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 16
    assert not _real(parts.train) & (_real(parts.validation) | _real(parts.test))


@pytest.mark.parametrize("kind", ["dots", "absolute", "symlink", "hard link"])
def test_other_spellings_of_a_path_are_the_same_file(folder: Path, kind: str) -> None:
    def spell(name: str) -> str:
        if kind == "dots":
            return f"b/../{name}"
        if kind == "absolute":
            return str(folder / name)
        link = folder / f"link-{name.replace('/', '-')}"
        if kind == "symlink":
            link.symlink_to(folder / name)
        else:
            os.link(folder / name, link)
        return link.name

    dataset = _table(folder, [*_rows(), *_rows(spell)])
    assert len(dataset) == 16
    assert "16 entries repeat" in dataset.notes[0]


def test_one_repeated_entry_is_said_in_the_singular(folder: Path) -> None:
    assert _table(folder, [*_rows(), "a/0.png,a"]).notes == (
        "1 entry repeats a file that is listed before with the same label; each file counts once.",
    )


def test_a_file_under_two_labels_is_a_fault_and_left_out(folder: Path) -> None:
    checked = audit(_table(folder, [*_rows(), "b/../a/0.png,b", "a/1.png,b"]))
    assert [fault.kind for fault in checked.faults] == ["two labels"] * 2
    assert "a/1.png (a), a/1.png (b)" in checked.faults[1].text
    kept = checked.without_faults()
    assert len(kept) == 14
    assert not {"a/0.png", "a/1.png"} & {kept.name_of(image) for image in kept.images}


def test_of_a_path_in_two_splits_the_held_out_entry_stays(folder: Path) -> None:
    rows = [f"{row},train" for row in _rows()] + ["a/0.png,a,test", "b/0.png,b,test"]
    checked = audit(_table(folder, rows, "path,label,split"))
    assert [fault.kind for fault in checked.faults] == ["two splits"] * 2
    kept = checked.without_faults()
    assert [kept.name_of(image) for image in kept.subset("test").images] == ["a/0.png", "b/0.png"]
    assert len(kept.subset("train")) == 14


def test_marks_that_contradict_each_other_are_a_fault(folder: Path) -> None:
    rows = [f"a/{number}.png,{number % 2},{(number + 1) % 2}" for number in range(8)]
    dataset = _table(folder, [*rows, *rows[:3], "a/4.png,1,1"], "path,one,two")
    checked = audit(dataset)
    assert len(dataset) == 9
    assert [fault.kind for fault in checked.faults] == ["two labels"]
    assert len(checked.without_faults()) == 7


def test_an_image_with_very_many_copies_is_a_short_message(folder: Path) -> None:
    rows = [f"{label}/{number}.png,{label}" for label in "ab" for number in range(8)]
    for number in range(50):
        shutil.copy(folder / "a" / "0.png", folder / f"{number}.png")
        rows.append(f"{number}.png,b")
    (fault,) = audit(_table(folder, rows)).faults
    assert "labels: 0.png (b), a/0.png (a), 1.png (b)" in fault.text
    assert fault.text.endswith("8.png (b) and 41 more")
    assert len(fault.left_out) == 51


def test_links_to_one_photo_in_two_class_folders_are_a_fault(folder: Path) -> None:
    (folder / "b" / "link.png").symlink_to(folder / "a" / "0.png")
    (fault,) = audit(Dataset.open(folder)).faults
    assert fault.kind == "two labels"
