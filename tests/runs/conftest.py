"""A run's folder for the tests of this part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.manifest import MANIFEST
from pplcnet.runs.files import RUN, TRAIN, planned_names
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


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fill(out: Path, names: list[str]) -> None:
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
