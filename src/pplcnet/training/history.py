"""What a run tells of itself after every epoch: history.csv, TensorBoard's events, a line."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pplcnet.errors import require
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.files import named_failures, write_csv
from pplcnet.training.names import TENSORBOARD

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
    write_csv(path, list(history[0]), ([row[name] for name in history[0]] for row in history))


@contextmanager
def event_writer(folder: Path, recipe: Recipe) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Takes the rows, for TensorBoard where the recipe wants it; StorageError on a full disk."""
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
        # A failed write has been reported already; what closing would write is the same bytes.
        with contextlib.suppress(OSError):
            writer.close()
