"""What is known of commands that run elsewhere: that they began, what they write, how they end."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Began", "Ended", "Events", "Line"]


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


Events = list[Began | Line | Ended]
