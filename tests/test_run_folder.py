"""The folder of a run: nothing that is needed, or of somebody else, is thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.auditing import audit
from pplcnet.dataset import Dataset
from pplcnet.errors import InputError, TrainingInterrupted
from pplcnet.run_folder import (
    RUN,
    check_place,
    check_same,
    refuse_to_delete,
    run_facts,
    set_aside,
    start_folder,
    stops_resumable,
)
from pplcnet.training.places import BUNDLE, CHECKPOINT
from pplcnet.training.recipe import Recipe


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run, with a file of its owner's."""
    folder = tmp_path / "run"
    (folder / BUNDLE).mkdir(parents=True)
    (folder / BUNDLE / "manifest.json").write_text("old")
    for name in (RUN, CHECKPOINT, "notes.txt"):
        (folder / name).write_text("old")
    return folder


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("error", [InputError("wrong"), KeyboardInterrupt()])
def test_a_run_that_fails_at_once_leaves_the_older_one(out: Path, error: BaseException) -> None:
    before = _files(out)
    with pytest.raises(type(error)), set_aside(out):  # noqa: PT012
        assert not (out / BUNDLE).exists()
        (out / RUN).write_text("new")
        raise error
    assert _files(out) == before


def test_a_run_that_can_be_resumed_takes_the_older_ones_place(out: Path) -> None:
    with pytest.raises(TrainingInterrupted), set_aside(out):  # noqa: PT012
        (out / CHECKPOINT).write_text("new")
        raise TrainingInterrupted("stopped", run=str(out))
    assert _files(out) == {CHECKPOINT: "new", "notes.txt": "old"}


def test_an_older_run_that_came_back_cannot_be_resumed_as_the_new_one(out: Path) -> None:
    with pytest.raises(KeyboardInterrupt), set_aside(out), stops_resumable(out):  # noqa: PT012
        (out / RUN).write_text("new")
        raise KeyboardInterrupt
    assert (out / RUN).read_text() == "old"


def test_what_a_killed_process_had_set_aside_comes_back(out: Path) -> None:
    before = _files(out)
    aside = out / "replaced-run"
    aside.mkdir()
    for name in (RUN, CHECKPOINT, BUNDLE):
        (out / name).rename(aside / name)
    (out / RUN).write_text("half begun")
    with pytest.raises(InputError), set_aside(out):
        raise InputError("wrong again")
    assert _files(out) == before


def test_ctrl_c_before_the_first_epoch_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / RUN).write_text("{}")
    with pytest.raises(TrainingInterrupted, match="begins anew"), stops_resumable(tmp_path):
        raise KeyboardInterrupt


def test_what_the_new_run_reads_is_not_deleted(out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"would delete .*manifest"):
        refuse_to_delete(out, [out / BUNDLE / "manifest.json"])
    refuse_to_delete(out, [out / "notes.txt", tmp_path / "photos"])


@pytest.mark.parametrize("field", ["photos", "unlabelled"])
def test_a_run_among_the_photos_is_refused(tmp_path: Path, field: str) -> None:
    folders = {"photos": tmp_path / "a", "unlabelled": tmp_path / "b"}
    for each in folders.values():
        each.mkdir()
    recipe = Recipe(teacher="x", unlabelled=str(folders["unlabelled"]))
    with pytest.raises(InputError, match="would be taken for photos"):
        check_place(folders[field] / "run", folders["photos"], recipe)
    check_place(tmp_path / "run", folders["photos"], recipe)


def test_another_teacher_under_the_same_name_is_noticed(
    tmp_path: Path, common_photos: Path
) -> None:
    checked = audit(Dataset.open(common_photos))
    teacher = tmp_path / "teacher.keras"
    teacher.write_bytes(b"one")
    recipe = Recipe(teacher=str(teacher))
    start_folder(tmp_path / "run", recipe, run_facts(common_photos, checked, recipe))
    check_same(tmp_path / "run", run_facts(common_photos, checked, recipe))
    teacher.write_bytes(b"other")
    with pytest.raises(InputError, match="not the teacher that the run began with"):
        check_same(tmp_path / "run", run_facts(common_photos, checked, recipe))
