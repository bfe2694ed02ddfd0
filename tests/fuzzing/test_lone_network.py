"""Exported `.onnx` files alone, their metadata mutated: opened or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.runtime.lone_network import open_network
from tests.fuzzing.harness import fuzz


def read(path: Path) -> None:
    manifest = open_network(path).manifest
    assert manifest.classes
    assert repr(manifest)


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 1 << 14
    size = len(content)
    return bytes([number << 3 | 2, size & 0x7F | 0x80, size >> 7]) + content


@pytest.mark.slow
def test_mutated_metadata_is_read_or_refused(tmp_path: Path) -> None:
    preprocessing = {"image_size": [32, 48], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
    metadata = {
        "classes": json.dumps(["cat", "dog"]),
        "preprocessing": json.dumps(preprocessing),
        "output": "logits: float32 (N, classes), before sigmoid",
    }
    seed = b"".join(
        _field(14, _field(1, key.encode()) + _field(2, value.encode()))
        for key, value in metadata.items()
    )
    read_seed = tmp_path / "seed.onnx"
    read_seed.write_bytes(seed)
    read(read_seed)
    fuzz(read, {"metadata": seed}, tmp_path, suffix=".onnx", tokens=[b"classes", b"1e400", b"[["])
