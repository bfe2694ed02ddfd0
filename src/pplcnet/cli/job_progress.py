"""Progress of a job: a changing line on a terminal, elsewhere a line per minute."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pplcnet.cli.output import complain
from pplcnet.system.wording import counted, duration, printable

if TYPE_CHECKING:
    from pplcnet.jobs.driver import Progress

__all__ = ["JobProgress"]

LINE_SECONDS = 60.0


class JobProgress:
    """Shows the reports of a job on stderr."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._photos_before: int | None = None
        self._shown = self._begun
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clear()

    def say(self, line: str) -> None:
        """Print one line that stays."""
        self._clear()
        complain(line)

    def report(self, progress: Progress) -> None:
        """Show a report, which arrives about twice a second."""
        now = time.monotonic()
        if self._photos_before is None:
            self._photos_before, self._begun = progress.done_photos, now
        if not self._is_terminal:
            if now - self._shown >= LINE_SECONDS:
                self._shown = now
                complain(self._line(progress, now))
            return
        line = printable(self._line(progress, now))
        self._clear()
        sys.stderr.write(line)
        sys.stderr.flush()
        self._width = len(line)

    def _clear(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
        self._width = 0

    def _line(self, progress: Progress, now: float) -> str:
        if progress.note:
            return f"waiting: {progress.note}"
        photos = progress.done_photos - (self._photos_before or 0)
        rate = photos / max(1e-9, now - self._begun)
        parts = [
            counted(progress.done_photos, "photo")
            if progress.photos is None
            else f"{progress.done_photos} of {counted(progress.photos, 'photo')}",
            f"{progress.done_shards} of {counted(progress.shards, 'shard')} "
            f"({progress.running} running)",
            f"{progress.broken} broken",
        ]
        if progress.retried:
            parts.append(f"{progress.retried} tried again")
        if progress.failed:
            parts.append(f"{len(progress.failed)} given up")
        if photos:
            parts.append(f"{rate:.0f} photos/s")
            whole = progress.photos
            if whole is None:  # assumes that all tar files are as large as those done so far
                whole = progress.done_photos * progress.shards // max(1, progress.done_shards)
            parts.append(f"{duration((whole - progress.done_photos) / rate)} left")
        return ", ".join(parts)
