"""A table as a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pplcnet.system.csv_cells import CsvWriter

__all__ = ["write_csv"]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A header and its rows; decimal fractions with four digits, nothing for None."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file, header)
        writer.writerows([_shown(each) for each in row] for row in rows)


def _shown(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value
