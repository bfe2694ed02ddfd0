"""A checkpoint is refused by name when it is damaged, whatever it claims."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.errors import InputError
from pplcnet.training.history import history_columns
from pplcnet.training.saved_facts import read_arrays, read_facts

ROW = dict.fromkeys(history_columns(["top1"], "top1"), 0.5) | {"epoch": 1}
FACTS = {
    "run": "id", "epoch": 1, "step": 0, "loss_sum": 1.5, "metric_sums": {"top1": 0.5},
    "best_epoch": 0, "best_score": 0.5, "best_loss": float("inf"), "history": [ROW],
    "options": {"dropout": 0.0},
}  # fmt: skip


def write(path: Path, facts: Any, *, text: str | None = None) -> Path:
    content = (json.dumps(facts) if text is None else text).encode()
    with path.open("wb") as file:
        np.savez(file, facts=np.frombuffer(content, np.uint8), **{"state/0000": np.zeros(3)})
    return path


def test_facts_are_read_without_the_arrays(tmp_path: Path) -> None:
    path = write(tmp_path / "checkpoint.npz", FACTS)
    assert read_facts(path) == FACTS
    assert set(read_arrays(path)) == {"facts", "state/0000"}
    assert read_facts(write(path, {k: v for k, v in FACTS.items() if k != "run"}))["epoch"] == 1


def test_facts_of_version_0_1_are_read_under_the_names_of_today(tmp_path: Path) -> None:
    names = {"best_score": "best_accuracy", "metric_sums": "accuracy_sum"}
    old = {names.get(name, name): value for name, value in FACTS.items()} | {"accuracy_sum": 0.5}
    found = read_facts(write(tmp_path / "checkpoint.npz", old))
    assert found == FACTS | {"metric_sums": {"accuracy": 0.5}}


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": "1"}, {"epoch": -1}, {"epoch": 2}, {"epoch": True}, {"step": -1},
        {"step": 10**400}, {"best_epoch": 1}, {"best_epoch": -2}, {"history": {}},
        {"history": [3]}, {"history": [{**ROW, "epoch": 7}]}, {"history": [{**ROW, "loss": "x"}]},
        {"history": [{**ROW, "more": 1}]}, {"options": {"num_classes": 10**9}}, {"options": []},
        {"run": 3}, {"loss_sum": None}, {"best_loss": [1]},
        {"metric_sums": {"top1": "x"}}, {"metric_sums": 3}, {"history": [{}]},
    ],
)  # fmt: skip
def test_facts_of_no_run_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = write(tmp_path / "checkpoint.npz", {**FACTS, **changes})
    with pytest.raises(InputError, match=r"checkpoint\.npz: is damaged") as caught:
        read_facts(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "9" * 5000, "\x00", '{"epoch": 1}'])
def test_facts_that_are_no_json_of_a_run_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="is damaged"):
        read_facts(write(tmp_path / "checkpoint.npz", None, text=text))


def _member(content: bytes, *, compress: bool = False) -> bytes:
    held = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(held, "w", kind) as archive:
        archive.writestr("facts.npy", content)
    return held.getvalue()


def _header(shape: str, dtype: str = "|u1") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"", b"no archive", _member(b"")[:-5], _member(b"no array"),
        _member(bytes(1 << 20), compress=True), _member(_header("(1000000000000,)")),
        _member(_header("(-1,)")), _member(_header("(1,)", "|O8") + b"x"),
        _member(_header("(" * 3000)), _member(b"\x93NUMPY\x03\x00" + b"\0" * 20),
    ],
    ids=[
        "empty", "no archive", "cut off", "no array", "a zip bomb", "a claim of a terabyte",
        "a negative side", "objects", "a nested header", "another version",
    ],
)  # fmt: skip
def test_damaged_archives_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    for read in (read_facts, read_arrays):
        with pytest.raises(InputError, match="is damaged"):
            read(path)


def test_a_checkpoint_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_facts(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="cannot be read"):
        read_facts(tmp_path)
