"""A run that is killed at any system call: nothing is lost, and nothing of another run is taken."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.errors import InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import RUN, SUSPECTS, TRAIN, fold_name, planned_names, read_run
from pplcnet.runs.folder import RunFolder
from pplcnet.runs.replaced import set_aside
from pplcnet.system.files import replacing, write_text
from pplcnet.training.history import history_columns, write_history
from pplcnet.training.names import BUNDLE, CHECKPOINT, HISTORY
from pplcnet.training.saved_facts import read_facts
from tests.kills.harness import Point, kill_everywhere, needs_tracing

pytestmark = [needs_tracing, pytest.mark.slow]

OWN = {
    "notes.txt": "mine", "fold-notes.txt": "mine", "evaluation/notes.md": "mine",
    "suspects.csv.bak": "mine",
}  # fmt: skip


def _facts(run: str, epoch: int) -> dict[str, Any]:
    rows = [
        dict.fromkeys(history_columns(["top1"], "top1"), 0.0) | {"epoch": each + 1}
        for each in range(epoch)
    ]
    return {
        "run": run, "epoch": epoch, "step": 0, "loss_sum": 0.0, "metric_sums": {"top1": 0.0},
        "best_epoch": epoch - 1, "best_score": 0.5, "best_loss": 1.0, "history": rows,
        "options": {},
    }  # fmt: skip


def _write_checkpoint(folder: Path, run: str, epoch: int) -> None:
    facts = np.frombuffer(json.dumps(_facts(run, epoch)).encode(), np.uint8)
    with replacing(folder / CHECKPOINT) as file:
        np.savez(file, facts=facts, **{"state/0000": np.full(400, epoch, np.float32)})


def _write_bundle(folder: Path, run: str) -> None:
    manifest = Manifest(
        classes=("a", "b"),
        preprocessing=Preprocessing(image_size=(32, 32)),
        network={"name": "pplcnet_x0_25", "options": {}},
        variants={"onnx": {"file": "model.onnx"}},
        calibration={"temperature": 1.0},
        provenance={"run": run, "dataset": {"digest": run}},
    )
    write_bundle(folder / BUNDLE, manifest, {"model.onnx": run.encode()})


def _run(run: str, kind: str = TRAIN) -> dict[str, Any]:
    return {"kind": kind, "id": run, "photos": "/p", "digest": run, "recipe": {}, "teacher": None}


def _train(folder: Path, run: str) -> None:
    """What `run_job` does to the folder, without the training."""
    RunFolder(folder, TRAIN).start(Recipe(), _run(run), planned_names(TRAIN))
    write_text(folder / "split.csv", run)
    for epoch in (1, 2):
        _write_checkpoint(folder, run, epoch)
        write_history(folder / HISTORY, _facts(run, epoch)["history"])
    _write_bundle(folder, run)
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "evaluation.json").write_text(run)


def _finished(folder: Path) -> None:
    _train(folder, "old")
    for name, text in OWN.items():
        (folder / name).write_text(text)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _overwrite(folder: Path) -> None:
    with RunFolder(folder, TRAIN).opened(), set_aside(folder):
        _train(folder, "new")


def _is_one_run(folder: Path) -> str:
    """Which run the folder holds, all of it and nothing else."""
    run = read_run(folder)
    assert run is not None
    RunFolder(folder, TRAIN).has_checkpoint(run)
    RunFolder(folder, TRAIN).finished_bundle(run)
    files = _files(folder)
    # The bundle's own leftovers are removed when it is written again.
    left = [name for name in files if "replaced-run" in name or ".writing" in name]
    assert not [name for name in left if not name.startswith(f"{BUNDLE}/")]
    named = {"split.csv", "evaluation/evaluation.json", f"{BUNDLE}/model.onnx"} & set(files)
    # A half-written evaluation is written again when the run goes on.
    assert all(run["id"].startswith(files[name].decode()) for name in named)
    for name in OWN:
        assert b"mine" in (files.get(name), files.get(f"kept/{name}")), name
    return str(run["id"])


def test_an_overwrite_leaves_the_old_run_or_the_new_one(tmp_path: Path) -> None:
    _finished(tmp_path / "old")
    before = _files(tmp_path / "old")
    seen = set()

    def check(folder: Path, point: Point) -> None:
        with RunFolder(folder, TRAIN).opened():
            which = _is_one_run(folder)
        seen.add(which)
        if which == "old":
            assert _files(folder) == before
        else:  # it can be resumed
            assert (folder / CHECKPOINT).is_file()

    hit = kill_everywhere(tmp_path / "run", _finished, _overwrite, check)
    assert len(hit) >= 200
    assert seen == {"old", "new"}


def test_a_checkpoint_is_always_whole(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        RunFolder(folder, TRAIN).start(Recipe(), _run("one"), planned_names(TRAIN))
        _write_checkpoint(folder, "one", 1)

    def check(folder: Path, point: Point) -> None:
        assert read_facts(folder / CHECKPOINT)["epoch"] in (1, 2)
        with RunFolder(folder, TRAIN).opened():
            assert set(_files(folder)) == {
                *("run.json", "recipe.toml", CHECKPOINT), *([".pplcnet.lock"]),
            }  # fmt: skip

    def action(folder: Path) -> None:
        _write_checkpoint(folder, "one", 2)

    assert kill_everywhere(tmp_path / "run", prepare, action, check)


def test_a_failed_overwrite_brings_the_old_run_back_whenever_it_is_killed(tmp_path: Path) -> None:
    _finished(tmp_path / "old")
    before = _files(tmp_path / "old")

    def fail(folder: Path) -> None:
        try:
            with RunFolder(folder, TRAIN).opened(), set_aside(folder):
                RunFolder(folder, TRAIN).start(Recipe(), _run("new"), planned_names(TRAIN))
                write_text(folder / "split.csv", "new")
                raise InputError("its weights do not fit")
        except InputError:
            return

    def check(folder: Path, point: Point) -> None:
        with RunFolder(folder, TRAIN).opened():
            _is_one_run(folder)
        assert _files(folder) == before

    assert kill_everywhere(tmp_path / "run", _finished, fail, check)


def test_a_killed_start_of_suspects_can_be_started_again(tmp_path: Path) -> None:
    def start(folder: Path) -> None:
        suspects = RunFolder(folder, SUSPECTS)
        with suspects.opened():
            suspects.check()
            with set_aside(folder):
                names = planned_names(SUSPECTS, folds=2)
                suspects.start(Recipe(), _run("folds", SUSPECTS), names)
                (folder / fold_name(0)).mkdir()
                _write_checkpoint(folder / fold_name(0), "folds", 1)

    def check(folder: Path, point: Point) -> None:
        with RunFolder(folder, SUSPECTS).opened():
            run = read_run(folder)
            if run is not None:
                RunFolder(folder, SUSPECTS).has_checkpoint(run, 0)
            else:
                assert not (folder / fold_name(0)).exists()
        if run is None or not (folder / fold_name(0) / CHECKPOINT).is_file():
            start(folder)

    assert kill_everywhere(tmp_path / "run", lambda folder: None, start, check)


def test_run_json_is_always_whole(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        RunFolder(folder, TRAIN).start(Recipe(), _run("one"), planned_names(TRAIN))

    def change(folder: Path) -> None:
        run = read_run(folder)
        assert run is not None
        write_text(folder / RUN, json.dumps({**run, "digest": "changed"}))

    def check(folder: Path, point: Point) -> None:
        run = read_run(folder)
        assert run is not None
        assert run["digest"] in ("one", "changed")
        assert os.listdir(folder)

    assert kill_everywhere(tmp_path / "run", prepare, change, check)
