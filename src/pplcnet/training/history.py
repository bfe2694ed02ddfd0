"""The record of every epoch: history.csv, TensorBoard events, and a line of text."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pplcnet.errors import require
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.files import named_failures, write_csv
from pplcnet.tasks.task import Measure
from pplcnet.training.names import TENSORBOARD

__all__ = [
    "are_history_columns",
    "event_writer",
    "history_columns",
    "in_columns",
    "line_of",
    "metrics_of",
    "score_column",
    "write_history",
]

_BEFORE, _AFTER = ("epoch", "loss"), ("learning_rate", "images_per_second")
# Up to version 0.1 the metric's columns had the same names for every task.
_COLUMNS_OF_0_1 = (
    *_BEFORE, "accuracy", "validation_loss", "validation_accuracy", *_AFTER,
)  # fmt: skip


def score_column(key: str) -> str:
    """The column of the validation measure, which chooses the best epoch.

    Args:
        key: the task's measure.
    """
    return f"validation_{key}"


def history_columns(metrics: Sequence[str], key: str) -> tuple[str, ...]:
    """The columns of history.csv.

    Args:
        metrics: the metrics of a training step.
        key: the task's measure.
    """
    return (*_BEFORE, *metrics, "validation_loss", score_column(key), *_AFTER)


def metrics_of(columns: Sequence[str]) -> Sequence[str]:
    """The metrics among the columns of a history."""
    return columns[len(_BEFORE) : columns.index("validation_loss")]


def are_history_columns(columns: Sequence[str]) -> bool:
    """Whether these are the columns of a history."""
    validation = tuple(columns[-4:-2])
    return (
        tuple(columns[:2]) == _BEFORE
        and tuple(columns[-2:]) == _AFTER
        and validation[:1] == ("validation_loss",)
        and validation[1].startswith("validation_")
    )


def in_columns(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """A history row with these columns; ValueError for a row of another task.

    Rows of version 0.1 get today's names.
    """
    if tuple(row) == _COLUMNS_OF_0_1 and len(columns) == len(row):
        return dict(zip(columns, row.values(), strict=True))
    if tuple(row) != tuple(columns):
        raise ValueError("its history has other columns")
    return row


def line_of(row: dict[str, Any], epochs: int, measure: Measure) -> str:
    """The row as a line of text."""
    titles = {**measure.of_steps, measure.key: measure.title}
    metrics = [f"{titles.get(name, name)} {row[name]:.3f}" for name in metrics_of(tuple(row))]
    return "  ".join(
        [
            f"epoch {row['epoch']:>3}/{epochs}",
            f"loss {row['loss']:.3f}",
            *metrics,
            f"validation loss {row['validation_loss']:.3f}",
            f"validation {measure.title} {row[score_column(measure.key)]:.3f}",
            f"{row['images_per_second']:.0f} images/s",
        ]
    )


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """Write the whole history.csv, one row per epoch; no file if there are no rows."""
    if not history:
        path.unlink(missing_ok=True)
        return
    write_csv(path, list(history[0]), ([row[name] for name in history[0]] for row in history))


@contextmanager
def event_writer(folder: Path, recipe: Recipe) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields a function that writes rows for TensorBoard, if the recipe asks for it.

    StorageError on a full disk.
    """
    if not recipe.tensorboard:
        yield lambda row: None
        return
    require("tensorboardX", purpose="tensorboard = true", extra="tensorboard")
    # Not SummaryWriter: it writes in a thread of its own, where a full disk goes unnoticed.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import scalar

    events = folder / TENSORBOARD
    with named_failures(events):
        events.mkdir(exist_ok=True)
        writer = EventsWriter(str(events / "events"))

    def write(row: dict[str, Any]) -> None:
        with named_failures(events):
            for name, value in row.items():
                if name != "epoch":
                    summary = scalar(name, value)
                    now = time.time()
                    writer.write_event(Event(wall_time=now, step=row["epoch"], summary=summary))
            writer.flush()

    try:
        yield write
    finally:
        # A failed write has already been reported; closing would try to write the same bytes.
        with contextlib.suppress(OSError):
            writer.close()
