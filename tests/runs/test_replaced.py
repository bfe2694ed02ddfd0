"""An older run makes room for a new one, and no other file is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.bundle.manifest import MANIFEST
from pplcnet.errors import InputError, TrainingInterrupted
from pplcnet.runs.files import RUN, TRAIN
from pplcnet.runs.replaced import recover, refuse_to_delete, set_aside
from pplcnet.runs.stopped import resumable
from pplcnet.training.names import BUNDLE, CHECKPOINT
from tests.runs.conftest import files_in, fill, run_json, write_checkpoint


@pytest.mark.parametrize("error", [InputError("wrong"), KeyboardInterrupt()])
def test_a_run_that_fails_at_once_leaves_the_older_one(out: Path, error: BaseException) -> None:
    before = files_in(out)
    with pytest.raises(type(error)), set_aside(out):  # noqa: PT012
        assert not (out / BUNDLE).exists()
        (out / RUN).write_text(run_json(id="new"))
        (out / "split.csv").write_text("new")
        raise error
    assert files_in(out) == before


def test_a_run_that_can_be_resumed_takes_the_older_ones_place(out: Path) -> None:
    with pytest.raises(TrainingInterrupted), set_aside(out):  # noqa: PT012
        (out / RUN).write_text("new")
        (out / CHECKPOINT).write_text("new")
        raise TrainingInterrupted("stopped", run=str(out))
    assert files_in(out) == {RUN: "new", CHECKPOINT: "new", "notes.txt": "old"}


def test_a_stopped_run_that_gave_way_to_the_older_one_cannot_be_resumed(out: Path) -> None:
    before = files_in(out)
    with pytest.raises(KeyboardInterrupt), set_aside(out), resumable(out, TRAIN):  # noqa: PT012
        (out / RUN).write_text(run_json(id="new"))
        raise KeyboardInterrupt
    assert files_in(out) == before


def test_what_a_killed_process_set_aside_comes_back(out: Path) -> None:
    before = files_in(out)
    aside = out / "replaced-run"
    aside.mkdir()
    for name in (RUN, CHECKPOINT, BUNDLE):
        (out / name).rename(aside / name)
    (out / RUN).write_text(run_json(id="new"))
    recover(out)
    assert files_in(out) == before


def test_an_overwrite_by_an_older_version_that_was_killed_is_undone(out: Path) -> None:
    before = files_in(out)
    (out / "replaced-run").mkdir()
    (out / RUN).rename(out / "replaced-run" / RUN)
    recover(out)
    assert files_in(out) == before


def test_a_run_that_comes_back_replaces_no_other_file(out: Path) -> None:
    moving = out / "replaced-run.moving"
    moving.mkdir()
    (out / CHECKPOINT).rename(moving / CHECKPOINT)
    (out / CHECKPOINT).write_text("mine")
    with pytest.raises(InputError, match="move one of the two away"):
        recover(out)
    assert (moving / CHECKPOINT).read_text() == "old"
    assert (out / CHECKPOINT).read_text() == "mine"


def test_what_the_new_run_reads_is_not_deleted(out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"would delete .*manifest"):
        refuse_to_delete(out, [out / BUNDLE / MANIFEST])
    refuse_to_delete(out, [out / "notes.txt", tmp_path / "photos"])


@pytest.mark.parametrize(
    "name", ["fold-notes.txt", "fold-1/photo.jpg", "suspects.csv", "search.txt", "tensorboard/x"]
)
def test_overwrite_leaves_files_that_the_run_did_not_write(out: Path, name: str) -> None:
    fill(out, [name])
    with set_aside(out):
        (out / RUN).write_text(run_json(id="new"))
        write_checkpoint(out / CHECKPOINT, "new")
    assert (out / name).read_text() == "mine"
    assert not (out / BUNDLE).exists()


@pytest.mark.parametrize(
    "name", ["evaluation/notes.md", "model.bundle/labels.txt", "model.bundle/a/b.txt"]
)
def test_overwrite_keeps_other_files_in_the_folders_of_the_run(out: Path, name: str) -> None:
    fill(out, [name, "evaluation/confusion.csv"])
    with set_aside(out):
        (out / RUN).write_text(run_json(id="new"))
        write_checkpoint(out / CHECKPOINT, "new")
    assert (out / "kept" / name).read_text() == "mine"
    assert not list(out.rglob("confusion.csv"))
    assert not list(out.rglob(MANIFEST))


def test_a_damaged_run_can_be_overwritten(out: Path) -> None:
    (out / RUN).write_text("x")
    fill(out, ["fold-notes.txt"])
    with set_aside(out):
        (out / CHECKPOINT).write_text("new")
    assert files_in(out) == {CHECKPOINT: "new", "notes.txt": "old", "fold-notes.txt": "mine"}
