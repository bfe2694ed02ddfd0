"""Mutated files of a run's folder are read or refused: run.json, split.csv, history, checkpoint."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from pplcnet.cli.resuming import recorded_recipe
from pplcnet.data.annotations import ClassLabel
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.pages import charts
from pplcnet.recipe.recipe import Recipe
from pplcnet.reports.sections import HISTORY_FILE, curve_charts
from pplcnet.runs.files import RUN, TRAIN, names_in, planned_names, read_run
from pplcnet.runs.folder import RunFolder
from pplcnet.runs.splits import resplit
from pplcnet.tasks import find, options_of
from pplcnet.training.history import history_columns, write_history
from pplcnet.training.saved_facts import check_facts, read_arrays, read_facts
from tests.fuzzing.harness import fuzz

ROWS = [dict.fromkeys(history_columns(["top1"], "top1"), 0.5) | {"epoch": each} for each in (1, 2)]
RUN_FACTS = {
    "kind": TRAIN, "id": "0" * 32, "photos": "/photos", "digest": "d" * 64, "teacher": None,
    "recipe": Recipe().to_dict(), "skip_broken": False, "search": None, "left_out": ["a.png"],
    "writes": planned_names(TRAIN),
}  # fmt: skip


def read_run_json(path: Path) -> None:
    out = path.parent / "run"
    out.mkdir(exist_ok=True)
    os.replace(path, out / RUN)
    assert all(os.sep not in name and name not in (".", "..") for name in names_in(out))
    run = read_run(out)
    assert run is not None
    recipe = recorded_recipe(str(out), run, options_of("classification"))
    now = {"photos": "/p", "recipe": recipe.to_dict(), "digest": run["digest"], "teacher": None}
    RunFolder(out, run["kind"]).resume(run, now)


def read_split(path: Path) -> None:
    image = LabelledImage(Path("/photos/a/1.png"), ClassLabel(0))
    resplit(Dataset(Path("/photos"), ("a", "b"), (image,)), {image.path: "e" * 64}, path, 0)


def read_history(path: Path) -> None:
    os.replace(path, path.parent / HISTORY_FILE)
    with pytest.MonkeyPatch.context() as patch:  # a picture takes a hundred times the reading
        patch.setattr(charts, "curves", lambda *given: given)
        curve_charts(path.parent, find("classification").measure)


def read_checkpoint(path: Path) -> None:
    read_facts(path)
    check_facts(path, read_arrays(path))


@pytest.mark.slow
def test_mutated_run_jsons_are_read_or_refused(tmp_path: Path) -> None:
    seeds = {
        "run": json.dumps(RUN_FACTS).encode(),
        "old": json.dumps({k: RUN_FACTS[k] for k in ("photos", "digest", "recipe")}).encode(),
    }
    tokens = [b'"writes": ["../', b"[[[[", b"1e999", b"null", b'"fold-1"', b'"folds"']
    fuzz(read_run_json, seeds, tmp_path, suffix=".json", tokens=tokens)


@pytest.mark.slow
def test_mutated_split_files_are_read_or_refused(tmp_path: Path) -> None:
    rows = "path,label,split,sha256\r\n/photos/a/1.png,a,train," + "e" * 64 + "\r\n"
    seeds = {"split": (rows + "/photos/b/2.png,b,test,\r\n").encode()}
    fuzz(read_split, seeds, tmp_path, suffix=".csv", tokens=[b'"', b"train", b"validation"])


@pytest.mark.slow
def test_mutated_histories_are_read(tmp_path: Path) -> None:
    write_history(tmp_path / "history", ROWS)
    seeds = {"history": (tmp_path / "history").read_bytes()}
    fuzz(read_history, seeds, tmp_path / "fuzz", suffix=".csv", tokens=[b"nan", b'"', b"1e999"])


@pytest.mark.slow
def test_mutated_checkpoints_are_read_or_refused(tmp_path: Path) -> None:
    facts = {
        "run": "id", "epoch": 2, "step": 0, "loss_sum": 1.5, "metric_sums": {"top1": 0.5},
        "best_epoch": 0, "best_score": 0.5, "best_loss": 1.0, "history": ROWS,
        "options": {"dropout": 0.0},
    }  # fmt: skip
    held = io.BytesIO()
    content = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(held, facts=content, **{"state/0000": np.zeros((2, 3), np.float32)})
    tokens = [b"'shape': (", b"'<f4'", b"|O", b"PK\x01\x02", b"PK\x03\x04", b"facts.npy"]
    fuzz(read_checkpoint, {"checkpoint": held.getvalue()}, tmp_path, suffix=".npz", tokens=tokens)
