"""Reads the bytes of an image file from a path, a file object or a buffer, up to a limit."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from typing import IO, Any

from pplcnet.errors import ImageError, printable

__all__ = [
    "MAX_FILE_BYTES",
    "ImageFile",
    "content_behind",
    "is_file_object",
    "open_image_file",
    "read_image_file",
    "source_name",
]

ImageFile = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

MAX_FILE_BYTES = 500_000_000
"""The largest image file that is read: 150 megapixels of uncompressed RGB."""
EMPTY = "the file is empty (zero bytes)."
# Opening a FIFO for reading blocks unless told not to.
WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_file_object(source: object) -> bool:
    """Whether `source` can be read like a file."""
    return callable(getattr(source, "read", None))


def source_name(source: Any) -> str:
    """The name of a source of any kind for messages: its path, or a description."""
    if isinstance(source, str | os.PathLike):
        return _printable(os.fsdecode(source))
    if isinstance(source, bytes | bytearray):
        return f"the image of {len(source)} bytes"
    if isinstance(source, memoryview):
        return f"the image of {source.nbytes} bytes"
    if hasattr(source, "getim"):
        name = getattr(source, "filename", None)
        return _printable(name) if name and isinstance(name, str) else "the PIL image"
    if is_file_object(source):
        name = getattr(source, "name", None)
        return _printable(name) if name and isinstance(name, str) else "the file object"
    if hasattr(source, "dtype") and hasattr(source, "shape"):
        return f"the array of shape {tuple(source.shape)} and type {source.dtype}"
    return "None" if source is None else f"the {type(source).__name__}"


def _printable(name: str) -> str:
    # Half of a surrogate pair is in no file name, and no encoding can write it.
    try:
        return printable(name)
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode()


def read_image_file(source: ImageFile) -> bytes:
    """The whole content of an image file: at most MAX_FILE_BYTES, never empty.

    A file object is read from its start if it can seek, otherwise from its current position.

    Raises:
        ImageError: it cannot be read, is no regular file, is empty or too large, or is none of
            these sources.
    """
    name = source_name(source)
    if isinstance(source, bytes):
        content = source
    elif isinstance(source, bytearray | memoryview):
        _check_size(source.nbytes if isinstance(source, memoryview) else len(source), name)
        content = bytes(source)
    elif isinstance(source, str | os.PathLike):
        content = _read_path(source, name)
    elif is_file_object(source):
        content = _read_file_object(source, name)
    else:
        hint = " (OpenCV's imread gives None for a file that it cannot read)" * (source is None)
        raise ImageError(
            name,
            f"not an image{hint}; give a path, bytes, a binary file object, a PIL image or a "
            "uint8 array.",
        )
    _check_size(len(content), name)
    if not content:
        raise ImageError(name, EMPTY)
    return content


@contextlib.contextmanager
def open_image_file(source: ImageFile) -> Iterator[IO[bytes]]:
    """Open an image file for reading in parts, whatever its size.

    A file object that cannot seek is read as a whole, as is any source that is not a path.

    Raises:
        ImageError: as `read_image_file`; MAX_FILE_BYTES applies to what is read as a whole.
    """
    if not isinstance(source, str | os.PathLike):
        yield io.BytesIO(read_image_file(source))
        return
    name = source_name(source)
    with contextlib.ExitStack() as stack:
        with _as_image_errors(name):
            file = stack.enter_context(_opened(source, name))
            is_empty = not os.fstat(file.fileno()).st_size
        if is_empty:
            raise ImageError(name, EMPTY)
        yield file


def content_behind(image: Any) -> bytes:
    """The file of a PIL image whose pixels are not loaded yet; empty if there is none.

    The image is left unchanged, so that it can be loaded afterwards.
    """
    file = getattr(image, "fp", None)
    if file is None or not getattr(image, "tile", None):
        return b""
    try:
        place = file.tell()
        file.seek(0)
        content: bytes = file.read(MAX_FILE_BYTES)
        file.seek(place)
    except (OSError, ValueError):  # closed: loading the image reports it
        return b""
    return content


def _read_path(path: str | os.PathLike[str], name: str) -> bytes:
    with _as_image_errors(name), _opened(path, name) as file:
        _check_size(os.fstat(file.fileno()).st_size, name)
        return file.read()


def _opened(path: str | os.PathLike[str], name: str) -> IO[bytes]:
    # Checked before it is opened: opening a device can trigger it.
    _check_regular(os.stat(path), name)
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - the caller closes it
    try:
        _check_regular(os.fstat(file.fileno()), name)
    except ImageError:
        file.close()
        raise
    return file


@contextlib.contextmanager
def _as_image_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror or error}).") from error
    except ImageError:
        raise
    except ValueError as error:  # a NUL, or characters that are invalid in file names
        raise ImageError(name, f"is not a usable path ({error}).") from error


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | WITHOUT_WAITING)


def _check_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((word for is_kind, word in KINDS if is_kind(status.st_mode)), "a special file")
        raise ImageError(name, f"cannot be read: it is {kind}, not a regular file.")


def _check_size(size: int, name: str) -> None:
    if size > MAX_FILE_BYTES:
        raise ImageError(
            name,
            f"the file has {size:,} bytes; image files of up to {MAX_FILE_BYTES:,} bytes are read.",
        )


def _read_file_object(file: IO[bytes], name: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        if getattr(file, "seekable", lambda: False)():
            file.seek(0)
        while size <= MAX_FILE_BYTES:
            # Raw files and sockets may return less than requested.
            piece: object = file.read(min(MAX_FILE_BYTES + 1 - size, 1 << 24))
            if not isinstance(piece, bytes | bytearray | memoryview):
                given = "no data yet" if piece is None else f"{type(piece).__name__}, not bytes"
                raise ImageError(
                    name, f"cannot be read: read() gives {given}; open it in binary mode."
                )
            if not piece:
                break
            pieces.append(bytes(piece))
            size += len(pieces[-1])
    except ImageError:
        raise
    except Exception as error:  # a user's file object may raise anything
        raise ImageError(name, f"cannot be read ({error}).") from error
    _check_size(size, name)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
