"""What is known of commands that run elsewhere: that they began, what they write, how they end."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Began", "Ended", "Events", "LastLines", "Line"]

LINES_KEPT = 20
ERROR = "error: "
"""What pplcnet's own messages begin with."""


class Began(NamedTuple):
    """A command runs in a process."""

    number: int
    """Of the command, from 0."""
    host: str
    pid: int


class Line(NamedTuple):
    """A line that a command wrote."""

    number: int
    """Of the command, from 0."""
    text: str
    is_error: bool
    """Whether it was written to stderr."""


class Ended(NamedTuple):
    """A command ended, or is out of reach."""

    number: int
    """Of the command, from 0."""
    code: int | None
    """Its exit code, negative where a signal ended it; None where its machine was lost."""
    reason: str
    """How it was lost; "" where it ended by itself."""

    @property
    def is_lost(self) -> bool:
        """Whether something else than the command itself ended it."""
        return self.code is None or self.code < 0


class LastLines:
    """The last lines that a command wrote to stderr."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """One more."""
        self.lines = [*self.lines, line][-LINES_KEPT:]

    def from_error(self) -> list[str]:
        """From the last error message on; all lines where there is none."""
        begins = [at for at, line in enumerate(self.lines) if line.startswith(ERROR)]
        return self.lines[begins[-1] :] if begins else self.lines

    def complaint(self) -> str:
        """The last error message in one line, else the last line; "" where nothing was written."""
        lines = self.from_error()
        if not lines:
            return ""
        return lines[0].removeprefix(ERROR) if lines[0].startswith(ERROR) else lines[-1]


Events = list[Began | Line | Ended]
