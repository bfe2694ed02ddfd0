"""Reading one photo of a job by its name."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from threading import Lock
from typing import IO, Any

from pplcnet.data.image_files import read_image_file
from pplcnet.errors import ImageError, InputError
from pplcnet.imaging.files import MAX_FILE_BYTES
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.storage import is_address, objects_module

__all__ = ["Photos", "shown_name"]

OF_THE_FILE = frozenset(
    [
        errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP,
        errno.ENAMETOOLONG, errno.EINVAL, errno.EFBIG, errno.ENXIO,
    ]
)  # fmt: skip
"""Errors that concern one file. Any other error concerns the disk or the network."""
_ADDRESS = re.compile(rb"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def shown_name(name: bytes) -> str:
    r"""A name as stored in parts; bytes that are not UTF-8 are written as \xff."""
    return name.decode("utf-8", "backslashreplace")


class Photos:
    """The photos below a folder or an address; a name may also be an absolute path or address."""

    def __init__(self, root: str) -> None:
        self._root = os.fsencode(root)
        self._is_address = is_address(root)
        self._buckets: dict[str, Any] = {}
        self._lock = Lock()

    def read(self, name: bytes) -> bytes | ImageError:
        """The photo's bytes, or the reason it cannot be used.

        Raises:
            StorageFailure: storage gave no clear answer; retrying may help.
        """
        if self._is_address or _ADDRESS.match(name):
            return self._read_object(name)
        path = os.path.join(self._root, name)
        try:
            return read_image_file(os.fsdecode(path)).content
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error})."
            if error.errno not in OF_THE_FILE:
                raise StorageFailure(f"{shown_name(path)}: {reason}") from error
            # A disk that is not mounted has none of its photos.
            if error.errno == errno.ENOENT and not os.path.isdir(self._root):
                raise StorageFailure(
                    f"{shown_name(self._root)}: no such folder on this machine."
                ) from error
        except ValueError as error:  # a NUL
            reason = f"is not a usable path ({error})."
        return ImageError(shown_name(name), reason)

    def _read_object(self, name: bytes) -> bytes | ImageError:
        try:
            bucket, key = self._place(name)
        except InputError as error:  # of one row of a list
            return ImageError(shown_name(name), f"cannot be read ({error.summary})")
        content: bytes | int | None = self._objects(bucket).read_most(key, MAX_FILE_BYTES)
        if isinstance(content, bytes):
            return content
        reason = "cannot be read (no such object)."
        if content is not None:
            reason = f"the file has {content:,} bytes; up to {MAX_FILE_BYTES:,} are read."
        return ImageError(shown_name(name), reason)

    def _place(self, name: bytes) -> tuple[str, str]:
        """Split a name into its bucket (with scheme) and the name within it.

        Raises:
            InputError: an address of an unsupported kind.
        """
        text = name.decode("utf-8", "surrogateescape")
        if not is_address(text):
            text = f"{os.fsdecode(self._root)}/{text}"
        bucket, key = objects_module().split_address(text)
        return bucket, posixpath.normpath(key) if ".." in key else key

    def _objects(self, bucket: str) -> Any:
        with self._lock:
            if bucket not in self._buckets:
                self._buckets[bucket] = objects_module().Objects(bucket)
            return self._buckets[bucket]

    def open(self, name: bytes) -> IO[bytes]:
        """Open a file of photos for one sequential read.

        Raises:
            StorageFailure: it cannot be opened.
        """
        if self._is_address or _ADDRESS.match(name):
            bucket, key = self._place(name)
            stream: IO[bytes] = self._objects(bucket).stream(key)
            return stream
        path = os.path.join(self._root, name)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
                raise OSError(errno.EINVAL, "not a regular file")
            return open(path, "rb")
        except OSError as error:
            raise StorageFailure(f"{shown_name(path)}: {error.strerror or error}.") from error
