"""Writes and reads tables, for the tests of data."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError

__all__ = ["open_table", "refusal"]


def open_table(folder: Path, content: str | bytes, name: str = "table.csv") -> Dataset:
    """The data set of a table with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Dataset.open(path)


def refusal(folder: Path, content: str | bytes, name: str = "table.csv") -> str:
    """The message of the error that such a table gives."""
    with pytest.raises(DatasetError) as caught:
        open_table(folder, content, name)
    return str(caught.value)
