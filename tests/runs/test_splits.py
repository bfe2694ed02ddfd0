"""A resumed run keeps its splits, and names the photos that have changed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import Splits, write_splits
from pplcnet.errors import InputError
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import RUN, SPLIT, TRAIN, planned_names, read_run
from pplcnet.runs.folder import RunFolder, run_facts
from pplcnet.runs.splits import resplit, splits_as_before, splits_digest
from pplcnet.runs.stages import AuditedImages, RunContext
from pplcnet.system.progress import Watcher
from pplcnet.tasks.audit import audit
from tests.conftest import draw_image


class _Listener(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


RECIPE = Recipe(validation=0.2, test=0.2)


def _audited(photos: Path) -> AuditedImages:
    return AuditedImages(audit(Dataset.open(photos)))


@pytest.fixture
def out(tmp_path: Path, photos: Path) -> Path:
    """A run that has split its photos."""
    folder, images = tmp_path / "run", _audited(photos)
    splits = images.draw_splits(RECIPE)
    facts = {**run_facts(photos, images.digest, RECIPE), "division": splits_digest(splits)}
    RunFolder(folder, TRAIN).start(RECIPE, facts, planned_names(TRAIN))
    write_splits(splits, folder / SPLIT, images.labelled.contents)
    return folder


def _again(
    out: Path, photos: Path, *, leave_out: bool = False, watcher: Watcher | None = None
) -> tuple[Splits, dict[str, object]]:
    run = read_run(out)
    assert run is not None
    context = RunContext(
        RunFolder(out, TRAIN), RECIPE, _audited(photos), run, watcher or Watcher(), lambda: None
    )
    return splits_as_before(context, leave_out=leave_out)


def _first(out: Path, split: str) -> Path:
    with (out / SPLIT).open(newline="") as file:
        return next(Path(row["path"]) for row in csv.DictReader(file) if row["split"] == split)


def _names(dataset: Dataset) -> list[str]:
    return [dataset.name_of(image) for image in dataset.images]


def test_the_splits_are_the_same_again(out: Path, photos: Path) -> None:
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
    with pytest.raises(InputError, match="gone or unreadable"):
        _again(out, photos)
    splits, _ = _again(out, photos, leave_out=True)
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


def test_a_run_does_not_continue_without_a_class(out: Path, photos: Path) -> None:
    for each in (photos / "class_0").iterdir():
        each.unlink()
    with pytest.raises(InputError, match="no readable photos of class_0"):
        _again(out, photos, leave_out=True)
    draw_image(0, 0).save(photos / "class_0" / "000.png")  # one photo is too few
    with pytest.raises(InputError, match="no readable photos of class_0"):
        _again(out, photos, leave_out=True)


def test_a_split_file_with_other_splits_is_refused(out: Path, photos: Path) -> None:
    text = (out / SPLIT).read_text()
    (out / SPLIT).write_text(text.replace(",train,", ",test,", 1))
    with pytest.raises(InputError, match=r"split\.csv: has other splits"):
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
    (tmp_path / SPLIT).write_text(
        f"path,label,split\r\n/{'a' * 5000}/{'b' * 300}.png,class_0,train\r\n"
    )
    found = resplit(Dataset.open(photos), {}, tmp_path / SPLIT, 0)
    assert len(found.gone) == 1
    assert len(found.new) == 36
