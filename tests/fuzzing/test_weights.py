"""Every reader of weights, under mutated files: tensors or one of our errors."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from pplcnet.weights.files import read_weights
from tests.fuzzing.harness import fuzz

STATE = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn._mean": np.array([1.5, -2.0], np.float64),
    "steps": np.array(7, np.int64),
}


def read_any(path: Path) -> None:
    read_weights(path)


@pytest.mark.slow
def test_mutated_pdparams_are_read_or_refused(tmp_path: Path) -> None:
    tuples = {key: (f"name_{key}", value) for key, value in STATE.items()}
    seeds = {
        f"{name}-{protocol}": pickle.dumps(state, protocol)
        for protocol in (2, 3, 4, 5)
        for name, state in (("plain", STATE), ("tuples", tuples), ("order", OrderedDict(STATE)))
    }
    fuzz(read_any, seeds, tmp_path, suffix=".pdparams")


@pytest.mark.slow
def test_mutated_npz_files_are_read_or_refused(tmp_path: Path) -> None:
    seeds = {}
    for name, save in (("stored", np.savez), ("packed", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, **STATE)
        seeds[name] = buffer.getvalue()
    fuzz(read_any, seeds, tmp_path, suffix=".npz", tokens=[b"PK\x01\x02", b"PK\x05\x06"])


@pytest.mark.slow
def test_mutated_safetensors_are_read_or_refused(tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.numpy").save
    fuzz(read_any, {"seed": save(STATE)}, tmp_path, suffix=".safetensors")
