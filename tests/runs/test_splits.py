"""A resumed run divides its photos as before, and says by name what is not as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pplcnet.data.audit import Audit
from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, write_splits
from pplcnet.errors import InputError
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import RUN, SPLIT, TRAIN, planned_names, read_run
from pplcnet.runs.folder import run_facts, start_folder
from pplcnet.runs.splits import resplit, splits_as_before, splits_digest
from pplcnet.system.progress import Watcher
from pplcnet.tasks.audit import audit
from tests.conftest import draw_image


class _Listener(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def out(tmp_path: Path, photos: Path) -> Path:
    """A run that has divided its photos."""
    folder, checked = tmp_path / "run", audit(Dataset.open(photos))
    splits = draw_splits(checked.dataset, validation=0.2, test=0.2, seed=0)
    facts = run_facts(photos, checked, Recipe())
    run = {"kind": TRAIN, "id": "x", **facts, "division": splits_digest(splits)}
    start_folder(folder, Recipe(), run, planned_names(TRAIN))
    write_splits(splits, folder / SPLIT, checked.contents)
    return folder


def _again(out: Path, photos: Path, *, leave_out: bool = False, watcher: Watcher | None = None):
    checked: Audit = audit(Dataset.open(photos))
    run = read_run(out)
    assert run is not None
    arguments = checked.dataset, checked, None, Recipe(), out, run, leave_out
    return splits_as_before(*arguments, watcher or Watcher())


def _first(out: Path, split: str) -> Path:
    with (out / SPLIT).open(newline="") as file:
        return next(Path(row["path"]) for row in csv.DictReader(file) if row["split"] == split)


def _names(dataset: Dataset) -> list[str]:
    return [dataset.name_of(image) for image in dataset.images]


def test_the_division_is_the_same_again(out: Path, photos: Path) -> None:
    splits, run = _again(out, photos)
    assert splits_digest(splits) == run["division"]
    assert run == read_run(out)


def test_photos_that_were_moved_keep_their_side(out: Path, photos: Path) -> None:
    before = [_names(part) for part in _again(out, photos)[0][:3]]
    moved = photos.rename(photos.with_name("elsewhere"))
    assert [_names(part) for part in _again(out, moved)[0][:3]] == before


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_photo_that_is_gone_is_named_and_can_be_left_out(
    out: Path, photos: Path, split: str
) -> None:
    gone, before = _first(out, split), _again(out, photos)[0]
    gone.unlink()
    with pytest.raises(InputError, match=rf"gone or unreadable: .*{gone.name}.*--skip-broken"):
        _again(out, photos)
    listener = _Listener()
    splits, run = _again(out, photos, leave_out=True, watcher=listener)
    assert listener.lines == [
        "continues without 1 photo of the run that is gone or unreadable (skipped.csv)"
    ]
    for name in ("train", "validation", "test"):
        left = [each for each in _names(getattr(before, name)) if not each.endswith(gone.name)]
        kept = [each for each in _names(getattr(splits, name)) if not each.endswith(gone.name)]
        assert kept == left
    assert run["left_out"] == [str(gone)]
    assert str(gone) in (out / "skipped.csv").read_text()
    # From here on this is what the run is of, with no need to say it again.
    assert _again(out, photos) == (splits, read_run(out))


def test_a_photo_that_became_unreadable_can_be_left_out(out: Path, photos: Path) -> None:
    _first(out, "train").write_bytes(b"broken")
    checked = audit(Dataset.open(photos))
    run = read_run(out)
    assert run is not None
    arguments = checked.without_faults(), checked, None, Recipe(), out, run
    with pytest.raises(InputError, match="gone or unreadable"):
        splits_as_before(*arguments, False, Watcher())
    splits, _ = splits_as_before(*arguments, True, Watcher())
    assert sum(map(len, splits[:3])) == 35


@pytest.mark.parametrize("leave_out", [True, False])
@pytest.mark.parametrize("what", ["new", "changed"])
def test_new_and_changed_photos_are_refused_by_name(
    out: Path, photos: Path, what: str, leave_out: bool
) -> None:
    place = photos / "class_0" / "new.png" if what == "new" else _first(out, "train")
    draw_image(0, 999).save(place)
    with pytest.raises(InputError, match=rf"{what}: .*{place.name}.*start a new run"):
        _again(out, photos, leave_out=leave_out)


def test_a_class_without_photos_is_not_gone_on_without(out: Path, photos: Path) -> None:
    for each in (photos / "class_0").iterdir():
        draw_image(7, int(each.stem)).save(photos / "class_1" / f"more-{each.name}")
        each.unlink()
    with pytest.raises(InputError, match="new: "):
        _again(out, photos, leave_out=True)
    for each in (photos / "class_1").glob("more-*"):
        each.unlink()
    draw_image(0, 0).save(photos / "class_0" / "000.png")
    checked, run = audit(Dataset.open(photos)), read_run(out)
    assert run is not None
    with pytest.raises(InputError, match="no readable photos of class_0"):
        splits_as_before(
            checked.without_faults(), checked, None, Recipe(), out, run, True, Watcher()
        )


def test_a_split_file_of_another_division_is_refused(out: Path, photos: Path) -> None:
    text = (out / SPLIT).read_text()
    (out / SPLIT).write_text(text.replace(",train,", ",test,", 1))
    with pytest.raises(InputError, match=r"split\.csv: is not the division"):
        _again(out, photos)


def test_a_run_json_that_was_written_before_its_split_file_is_enough(
    out: Path, photos: Path
) -> None:
    """Killed between the two writes of a run that goes on without a photo."""
    before = (out / SPLIT).read_bytes()
    _first(out, "train").unlink()
    left, run = _again(out, photos, leave_out=True)
    assert (out / SPLIT).read_bytes() == before
    assert _again(out, photos) == (left, run)
    assert (out / RUN).is_file()


@pytest.mark.parametrize(
    "text",
    [
        "", "path,label,split\r\n", "path,split\r\na.png,elsewhere\r\n", 'path,split\r\n"a,train',
        "path,split\r\na.png,train,more\r\n", "path,split\r\na\x00.png,train\r\n",
        f"path,split\r\n{'a' * 200_000},train\r\n",
    ],
    ids=["empty", "no rows", "no split", "a quote", "a cell more", "a null byte", "a long cell"],
)  # fmt: skip
def test_a_damaged_split_file_is_one_sentence(tmp_path: Path, photos: Path, text: str) -> None:
    (tmp_path / SPLIT).write_text(text)
    with pytest.raises(InputError, match=r"split\.csv: is damaged") as caught:
        resplit(Dataset.open(photos), {}, tmp_path / SPLIT, 0)
    assert len(str(caught.value)) < 500


def test_a_name_that_is_too_long_for_the_disk_is_a_photo_that_is_gone(
    tmp_path: Path, photos: Path
) -> None:
    (tmp_path / SPLIT).write_text(f"path,split\r\n/{'a' * 5000}/{'b' * 300}.png,train\r\n")
    found = resplit(Dataset.open(photos), {}, tmp_path / SPLIT, 0)
    assert len(found.gone) == 1
    assert len(found.new) == 36
