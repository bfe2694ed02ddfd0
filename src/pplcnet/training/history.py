"""What a run tells of itself after every epoch: history.csv, TensorBoard's events, a line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pplcnet.csv_cells import CsvWriter
from pplcnet.errors import require
from pplcnet.training.recipe import Recipe

__all__ = ["event_writer", "line_of", "write_history"]


def line_of(row: dict[str, Any], epochs: int, measure: str) -> str:
    """The row for a person; `measure` names what is validated."""
    return (
        f"epoch {row['epoch']:>3}/{epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}"
        f"  validation loss {row['validation_loss']:.3f}"
        f"  {measure} {row['validation_accuracy']:.3f}  {row['images_per_second']:.0f} images/s"
    )


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """Write history.csv whole, a row an epoch; no file for no rows."""
    if not history:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_suffix(".writing")
    with temporary.open("w", newline="") as file:
        writer = CsvWriter(file, list(history[0]))
        writer.writerows([row[name] for name in history[0]] for row in history)
    os.replace(temporary, path)


@contextmanager
def event_writer(folder: Path, recipe: Recipe) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Takes the rows, for TensorBoard where the recipe wants it."""
    if not recipe.tensorboard:
        yield lambda row: None
        return
    tensorboard = require("tensorboardX", purpose="tensorboard = true", extra="tensorboard")
    with tensorboard.SummaryWriter(str(folder / "tensorboard")) as writer:

        def write(row: dict[str, Any]) -> None:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, row["epoch"])
            writer.flush()

        yield write
