"""The folder of a run: nothing that is needed, or of somebody else, is thrown away."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.manifest import MANIFEST, Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.errors import InputError, StorageError, TrainingInterrupted
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import RUN, SUSPECTS, TRAIN, names_in, planned_names
from pplcnet.runs.folder import RunFolder, run_facts
from pplcnet.runs.replaced import recover, refuse_to_delete, set_aside
from pplcnet.runs.stopped import resumable
from pplcnet.system.locking import locked
from pplcnet.training.names import BUNDLE, CHECKPOINT

FACTS = {
    "epoch": 0, "step": 3, "loss_sum": 0.0, "metric_sums": {"top1": 0.0}, "best_epoch": -1,
    "best_score": -1.0, "best_loss": 1e9, "history": [], "options": {},
}  # fmt: skip


def run_json(**changes: object) -> str:
    facts = {
        "kind": TRAIN, "id": "old", "photos": "/photos", "digest": "d", "recipe": {},
        "teacher": None, "writes": planned_names(TRAIN),
    }  # fmt: skip
    return json.dumps({**facts, **changes})


def write_checkpoint(path: Path, run: str | None) -> None:
    content = json.dumps({**FACTS, "run": run}).encode()
    with path.open("wb") as file:
        np.savez(file, facts=np.frombuffer(content, np.uint8))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run, with a file of its owner's."""
    folder = tmp_path / "run"
    (folder / BUNDLE).mkdir(parents=True)
    (folder / BUNDLE / MANIFEST).write_text("old")
    (folder / RUN).write_text(run_json())
    for name in (CHECKPOINT, "notes.txt"):
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
        (out / RUN).write_text(run_json(id="new"))
        (out / "split.csv").write_text("new")
        raise error
    assert _files(out) == before


def test_a_run_that_can_be_resumed_takes_the_older_ones_place(out: Path) -> None:
    with pytest.raises(TrainingInterrupted), set_aside(out):  # noqa: PT012
        (out / RUN).write_text("new")
        (out / CHECKPOINT).write_text("new")
        raise TrainingInterrupted("stopped", run=str(out))
    assert _files(out) == {RUN: "new", CHECKPOINT: "new", "notes.txt": "old"}


def test_an_older_run_that_came_back_cannot_be_resumed_as_the_new_one(out: Path) -> None:
    before = _files(out)
    with pytest.raises(KeyboardInterrupt), set_aside(out), resumable(out, TRAIN):  # noqa: PT012
        (out / RUN).write_text(run_json(id="new"))
        raise KeyboardInterrupt
    assert _files(out) == before


def test_what_a_killed_process_had_set_aside_comes_back(out: Path) -> None:
    before = _files(out)
    aside = out / "replaced-run"
    aside.mkdir()
    for name in (RUN, CHECKPOINT, BUNDLE):
        (out / name).rename(aside / name)
    (out / RUN).write_text(run_json(id="new"))
    recover(out)
    assert _files(out) == before


def test_an_overwrite_of_before_that_was_killed_within_its_moves_is_undone(out: Path) -> None:
    before = _files(out)
    (out / "replaced-run").mkdir()
    (out / RUN).rename(out / "replaced-run" / RUN)
    recover(out)
    assert _files(out) == before


def test_a_name_that_is_taken_is_not_replaced_when_the_older_run_comes_back(out: Path) -> None:
    moving = out / "replaced-run.moving"
    moving.mkdir()
    (out / CHECKPOINT).rename(moving / CHECKPOINT)
    (out / CHECKPOINT).write_text("mine")
    with pytest.raises(InputError, match="move one of the two away"):
        recover(out)
    assert (moving / CHECKPOINT).read_text() == "old"
    assert (out / CHECKPOINT).read_text() == "mine"


def test_ctrl_c_before_the_first_epoch_says_so(tmp_path: Path) -> None:
    (tmp_path / RUN).write_text("{}")
    with (
        pytest.raises(TrainingInterrupted, match="Nothing was trained yet"),
        resumable(tmp_path, TRAIN),
    ):
        raise KeyboardInterrupt


def test_what_the_new_run_reads_is_not_deleted(out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"would delete .*manifest"):
        refuse_to_delete(out, [out / BUNDLE / MANIFEST])
    refuse_to_delete(out, [out / "notes.txt", tmp_path / "photos"])


# ------------------------------------------------------------------ other people's files


def _fill(out: Path, names: list[str]) -> None:
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")


@pytest.mark.parametrize(
    "name", ["fold-notes.txt", "fold-1/photo.jpg", "suspects.csv", "search.txt", "tensorboard/x"]
)
def test_overwrite_leaves_files_that_the_run_did_not_write(out: Path, name: str) -> None:
    _fill(out, [name])
    with set_aside(out):
        (out / RUN).write_text(run_json(id="new"))
        write_checkpoint(out / CHECKPOINT, "new")
    assert (out / name).read_text() == "mine"
    assert not (out / BUNDLE).exists()


@pytest.mark.parametrize(
    "name", ["evaluation/notes.md", "model.bundle/labels.txt", "model.bundle/a/b.txt"]
)
def test_overwrite_keeps_its_owners_files_within_the_runs_folders(out: Path, name: str) -> None:
    _fill(out, [name, "evaluation/confusion.csv"])
    with set_aside(out):
        (out / RUN).write_text(run_json(id="new"))
        write_checkpoint(out / CHECKPOINT, "new")
    assert (out / "kept" / name).read_text() == "mine"
    assert not list(out.rglob("confusion.csv"))
    assert not list(out.rglob(MANIFEST))


def test_a_run_that_is_damaged_is_overwritten_all_the_same(out: Path) -> None:
    (out / RUN).write_text("x")
    _fill(out, ["fold-notes.txt"])
    with set_aside(out):
        (out / CHECKPOINT).write_text("new")
    assert _files(out) == {CHECKPOINT: "new", "notes.txt": "old", "fold-notes.txt": "mine"}


@pytest.mark.parametrize("name", ["recipe.toml", "evaluation", "report.html", "split.csv"])
def test_a_new_run_does_not_write_over_a_file_that_no_run_wrote(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"would overwrite {name}"):
        RunFolder(tmp_path, TRAIN).start(Recipe(), {}, planned_names(TRAIN))
    assert _files(tmp_path) == {name: "mine"}


@pytest.mark.parametrize("names", [["../photos"], ["/etc"], [3], ["a/../.."], "fold-1"])
def test_a_run_json_cannot_name_foreign_files_as_its_own(out: Path, names: object) -> None:
    (out / RUN).write_text(run_json(writes=names))
    assert all(os.sep not in name for name in names_in(out))


# ------------------------------------------------------------------ whose run it is


@pytest.mark.parametrize(("kind", "asked"), [(TRAIN, SUSPECTS), (SUSPECTS, TRAIN)])
def test_runs_of_two_kinds_do_not_share_a_folder(out: Path, kind: str, asked: str) -> None:
    (out / RUN).write_text(run_json(kind=kind))
    for resume in (True, False):
        with pytest.raises(InputError, match=f"holds a run of pplcnet {kind}"):
            RunFolder(out, asked).check(resume=resume)
    assert RunFolder(out, asked).check(overwrite=True) is None


def _open_elsewhere(out: Path) -> int:
    """In another process: 1 if the folder could be opened, 0 if it is in use."""
    process = os.fork()
    if not process:
        try:
            with RunFolder(out, TRAIN).opened():
                os._exit(1)
        except InputError as error:
            os._exit(0 if "in use" in str(error) else 2)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_a_folder_is_one_process_s_alone(out: Path) -> None:
    assert _open_elsewhere(out) == 1
    with locked(out):
        assert _open_elsewhere(out) == 0


@pytest.mark.parametrize("found", ["other", None])
def test_a_checkpoint_of_another_run_is_refused_by_name(out: Path, found: str | None) -> None:
    write_checkpoint(out / CHECKPOINT, found)
    with pytest.raises(InputError, match=r"checkpoint\.npz: belongs to another run"):
        RunFolder(out, TRAIN).has_checkpoint(json.loads(run_json()))
    write_checkpoint(out / CHECKPOINT, "old")
    assert RunFolder(out, TRAIN).has_checkpoint(json.loads(run_json()))


def _write_bundle(out: Path, provenance: dict[str, object]) -> None:
    manifest = Manifest(
        classes=("a", "b"),
        preprocessing=Preprocessing(image_size=(32, 32)),
        network={"name": "pplcnet_x0_25", "options": {}},
        variants={"onnx": {"file": "model.onnx"}},
        calibration={"temperature": 1.0},
        provenance=provenance,
    )
    write_bundle(out / BUNDLE, manifest, {"model.onnx": b"x"})


@pytest.mark.parametrize(
    ("provenance", "run", "fold"),
    [
        ({"run": "other", "dataset": {"digest": "d"}}, {}, None),
        ({"dataset": {"digest": "d"}}, {}, None),
        ({"dataset": {"digest": "other"}}, {"id": None}, None),
        ({"run": "old", "dataset": {"digest": "d", "fold": 2}}, {}, 0),
    ],
    ids=["another id", "no id", "no ids, other photos", "another fold"],
)
def test_a_bundle_of_another_run_is_refused_by_name(
    out: Path, provenance: dict[str, object], run: dict[str, object], fold: int | None
) -> None:
    folder = RunFolder(out, TRAIN)
    _write_bundle(folder.fold(fold), provenance)
    with pytest.raises(InputError, match=r"model\.bundle: belongs to another run"):
        folder.finished_bundle(json.loads(run_json(**run)), fold)


@pytest.mark.parametrize(
    ("provenance", "run"),
    [
        ({"run": "old", "dataset": {"digest": "d"}}, {}),
        ({"dataset": {"digest": "d"}}, {"id": None}),
    ],
    ids=["the id", "made before there were ids"],
)
def test_a_bundle_of_the_run_is_taken(
    out: Path, provenance: dict[str, object], run: dict[str, object]
) -> None:
    _write_bundle(out, provenance)
    assert RunFolder(out, TRAIN).finished_bundle(json.loads(run_json(**run))) is not None


# ------------------------------------------------------------------ what a run.json may be


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "[" * 100_000, '{"recipe": 3, "digest": "d", "photos": "p"}',
        run_json(digest=3), run_json(id=[1]), run_json(search="1s"), run_json(left_out=3),
        run_json(recipe={"folds": "5"}), run_json(photos=None), "\x00", "9" * 5000,
        json.dumps("x" * (9 << 20)),
    ],
)  # fmt: skip
def test_a_damaged_run_json_is_one_sentence(out: Path, text: str) -> None:
    (out / RUN).write_text(text)
    with pytest.raises(InputError, match="is damaged") as caught:
        RunFolder(out, TRAIN).check(resume=True)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_leftovers_of_killed_processes_are_removed(out: Path) -> None:
    own, others = [".checkpoint.npz.123.writing", ".run.json.7.writing"], [".notes.txt.1.writing"]
    _fill(out, [*own, *others])
    with RunFolder(out, TRAIN).opened():
        assert not any((out / name).exists() for name in own)
        assert (out / others[0]).exists()


def test_a_full_disk_says_what_is_kept_and_how_to_go_on(out: Path) -> None:
    write_checkpoint(out / CHECKPOINT, "old")
    with pytest.raises(StorageError) as caught, resumable(out, TRAIN):  # noqa: PT012
        full = OSError(28, "No space left on device")
        raise StorageError(f"{out / 'split.csv'}: cannot be written (disk full).") from full
    text = str(caught.value)
    assert text.startswith(f"{out / 'split.csv'}: cannot be written")
    assert "step 3 of epoch 1" in text
    assert text.endswith(f"continue with: pplcnet train --resume --out {out}")


@pytest.mark.parametrize("within", ["", "fold-2", "search/trial-1", "teacher"])
def test_a_stopped_training_inside_a_run_names_the_run_that_can_go_on(
    out: Path, within: str
) -> None:
    with pytest.raises(TrainingInterrupted) as caught, resumable(out, TRAIN):
        raise TrainingInterrupted("stopped", run=str(out / within), signal=15)
    assert caught.value.run == str(out)
    assert caught.value.signal == 15


@pytest.mark.parametrize("field", ["photos", "unlabelled"])
def test_a_run_among_the_photos_is_refused(tmp_path: Path, field: str) -> None:
    folders = {"photos": tmp_path / "a", "unlabelled": tmp_path / "b"}
    for each in folders.values():
        each.mkdir()
    recipe = Recipe(teacher="x", unlabelled=str(folders["unlabelled"]))
    with pytest.raises(InputError, match="would be read as photos"):
        RunFolder(folders[field] / "run", TRAIN).check_place(folders["photos"], recipe)
    RunFolder(tmp_path / "run", TRAIN).check_place(folders["photos"], recipe)


def test_another_teacher_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, TRAIN)
    teacher = tmp_path / "teacher.keras"
    teacher.write_bytes(b"one")
    recipe = Recipe(teacher=str(teacher))
    before = run_facts("photos", "d", recipe)
    assert folder.resume(before, run_facts("photos", "d", recipe)) == before
    teacher.write_bytes(b"other")
    with pytest.raises(InputError, match="no longer the teacher that the run started with"):
        folder.resume(before, run_facts("photos", "d", recipe))
