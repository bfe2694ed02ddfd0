"""stdout and stderr that may be closed, full, unread, or in another encoding.

- A character missing from the encoding is written as an escape, and nothing after it is lost.
- If nobody reads stderr any more, or its disk is full, the work continues without messages.
- If nobody reads stdout any more (`| head`), a verb whose output is its result stops (exit code 0);
  a verb that writes files continues.
- If stdout is closed, verbs whose output is their result end with an error; if its disk is full,
  every verb does.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["ReaderGone", "surviving_streams"]

NAMES = "pplcnet.names"
"""Codec error handler: keeps bytes of file names unchanged, writes other characters as escapes."""


class ReaderGone(BrokenPipeError):  # noqa: N818 - it is no error
    """Nobody reads stdout any longer."""


def _encode_names(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all(0xDC80 <= ord(each) <= 0xDCFF for each in text):
        return bytes(ord(each) - 0xDC00 for each in text), error.end
    return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(NAMES, _encode_names)


class _Output(io.FileIO):
    """A file descriptor; after the first failed write, all later ones are discarded."""

    def __init__(self, descriptor: int, *, name: str, is_result: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._label, self._is_result = name, is_result

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except OSError as error:
            # From here on, buffered output and output from native code are discarded.
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            is_gone = error.errno == errno.EPIPE or (
                os.name == "nt" and error.errno == errno.EINVAL
            )
            if self._label == "stderr" or (is_gone and not self._is_result):
                return len(content)
            if is_gone:
                raise ReaderGone(error.errno, error.strerror, self._label) from error
            raise OSError(error.errno, error.strerror, self._label) from error


@contextlib.contextmanager
def surviving_streams(*, is_result: bool) -> Iterator[bool]:
    """Within the context, sys.stdout and sys.stderr behave as described in this module.

    Yields whether stdout exists at all. Writing to it raises ReaderGone, or OSError with the
    filename "stdout"; flush it inside the context to see a failure.

    Args:
        is_result: whether stdout carries the command's result.
    """
    before = sys.stdout, sys.stderr
    _open_standard_descriptors()
    sys.stdout = _surviving(sys.stdout, 1, "stdout", is_result)
    sys.stderr = _surviving(sys.stderr, 2, "stderr", is_result)
    try:
        yield before[0] is not None
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # it was flushed inside, or an error was reported
                stream.flush()
        sys.stdout, sys.stderr = before


def _open_standard_descriptors() -> None:
    """Point closed descriptors to the null device, so that no opened file takes their number."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def _surviving(stream: Any, descriptor: int, name: str, is_result: bool) -> Any:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8", errors=NAMES)
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors=NAMES)
    raw = getattr(stream.buffer, "raw", stream.buffer)  # the buffer itself, with PYTHONUNBUFFERED
    if type(raw) is not io.FileIO or raw.fileno() != descriptor:  # a Windows console, or a test's
        return stream
    output = _Output(descriptor, name=name, is_result=is_result)
    return io.TextIOWrapper(
        output if raw is stream.buffer else io.BufferedWriter(output),
        encoding=stream.encoding,
        errors=NAMES,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
