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
