"""Reading one photo of a job by its name."""

from __future__ import annotations

import errno
import os
from typing import IO

from pplcnet.data.image_files import read_image_file
from pplcnet.errors import ImageError
from pplcnet.jobs.failures import StorageFailure

__all__ = ["Photos", "shown_name"]

OF_THE_FILE = frozenset(
    [
        errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP,
        errno.ENAMETOOLONG, errno.EINVAL, errno.EFBIG, errno.ENXIO,
    ]
)  # fmt: skip
"""What is wrong with one file. Anything else is wrong with the disk or the network."""


def shown_name(name: bytes) -> str:
    r"""A name as parts hold it; bytes that are not UTF-8 are written as \xff."""
    return name.decode("utf-8", "backslashreplace")


class Photos:
    """The photos below a folder; a name may also be an absolute path."""

    def __init__(self, root: str) -> None:
        self._root = os.fsencode(root)

    def read(self, name: bytes) -> bytes | ImageError:
        """The photo's bytes, or why there are none.

        Raises:
            StorageFailure: it could not be found out; trying again may help.
        """
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

    def open(self, name: bytes) -> IO[bytes]:
        """A file of photos, to be read once.

        Raises:
            StorageFailure: it cannot be opened.
        """
        path = os.path.join(self._root, name)
        try:
            return open(path, "rb")
        except OSError as error:
            raise StorageFailure(f"{shown_name(path)}: {error.strerror or error}.") from error
