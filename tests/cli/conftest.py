"""The folder of a run for the tests of verbs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset

PARTS = ("train", "train", "validation", "test")


@pytest.fixture
def run(common_bundle: Path, photos: Path, tmp_path: Path) -> Path:
    """A run's folder of `photos`: 18 to train on, 9 for validation, 9 for the test."""
    folder = tmp_path / "run"
    shutil.copytree(common_bundle, folder / "model.bundle")
    rows = [
        f"{image.path.resolve()},class_{image.shown[0]},{PARTS[at % 4]}"
        for at, image in enumerate(Dataset.open(photos).images)
    ]
    (folder / "split.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return folder
