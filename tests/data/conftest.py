"""What several tests of data use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight empty files called 0.png to 7.png: reading a table opens none."""
    for number in range(8):
        (tmp_path / f"{number}.png").touch()
    return tmp_path


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """images/rose and images/bell with four empty files each: reading a list opens none."""
    for name in ("rose", "bell"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "images" / name / f"{number}.png").touch()
    return tmp_path
