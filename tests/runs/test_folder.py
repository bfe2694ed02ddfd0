"""The folder of a run: who may use it, and whether it can be resumed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.errors import InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import RUN, SUSPECTS, TRAIN, names_in, planned_names
from pplcnet.runs.folder import RunFolder, run_facts
from pplcnet.system.locking import locked
from pplcnet.training.names import BUNDLE, CHECKPOINT
from tests.runs.conftest import files_in, fill, run_json, write_checkpoint


@pytest.mark.parametrize("name", ["recipe.toml", "evaluation", "report.html", "split.csv"])
def test_a_new_run_does_not_write_over_a_file_that_no_run_wrote(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"would overwrite {name}"):
        RunFolder(tmp_path, TRAIN).start(Recipe(), {}, planned_names(TRAIN))
    assert files_in(tmp_path) == {name: "mine"}


@pytest.mark.parametrize("names", [["../photos"], ["/etc"], [3], ["a/../.."], "fold-1"])
def test_a_run_json_cannot_claim_files_of_others(out: Path, names: object) -> None:
    (out / RUN).write_text(run_json(writes=names))
    assert all(os.sep not in name for name in names_in(out))


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


def test_only_one_process_can_open_a_folder(out: Path) -> None:
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
    fill(out, [*own, *others])
    with RunFolder(out, TRAIN).opened():
        assert not any((out / name).exists() for name in own)
        assert (out / others[0]).exists()


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
