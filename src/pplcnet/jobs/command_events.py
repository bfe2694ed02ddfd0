"""Events of commands that run elsewhere: they start, write lines, and end."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Began", "Ended", "Events", "LastLines", "Line"]

LINES_KEPT = 20
ERROR = "error: "
"""The prefix of pplcnet's own error messages."""


class Began(NamedTuple):
    """A command has started in a process."""

    number: int
    """Index of the command, from 0."""
    host: str
    pid: int


class Line(NamedTuple):
    """A line written by a command."""

    number: int
    """Index of the command, from 0."""
    text: str
    is_error: bool
    """Whether it was written to stderr."""


class Ended(NamedTuple):
    """A command has ended or become unreachable."""

    number: int
    """Index of the command, from 0."""
    code: int | None
    """Its exit code, negative if a signal killed it; None if its machine was lost."""
    reason: str
    """How it was lost; "" if it ended on its own."""

    @property
    def is_lost(self) -> bool:
        """Whether something other than the command ended it."""
        return self.code is None or self.code < 0


class LastLines:
    """The last lines that a command wrote to stderr."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Add a line."""
        self.lines = [*self.lines, line][-LINES_KEPT:]

    def from_error(self) -> list[str]:
        """The lines from the last error message on; all lines if there is none."""
        begins = [at for at, line in enumerate(self.lines) if line.startswith(ERROR)]
        return self.lines[begins[-1] :] if begins else self.lines

    def complaint(self) -> str:
        """The last error message on one line, else the last line; "" if nothing was written."""
        lines = self.from_error()
        if not lines:
            return ""
        return lines[0].removeprefix(ERROR) if lines[0].startswith(ERROR) else lines[-1]


Events = list[Began | Line | Ended]
