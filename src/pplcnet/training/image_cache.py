"""A cache of decoded images across epochs and trials, in memory first, then on disk."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.cache import cache_folder
from pplcnet.system.files import check_writable

__all__ = ["ImageCache"]

GIGABYTE = 1 << 30


class _Place(NamedTuple):
    """An image's place in the file."""

    offset: int
    shape: tuple[int, ...]


class ImageCache:
    """Images by key, as long as there is room; the rest are decoded again every time.

    Thread-safe. The file on disk has no name (or is deleted on close), so nothing is left behind
    however the process ends.
    """

    def __init__(self, gigabytes: float = 0.0, disk_gigabytes: float = 0.0) -> None:
        """InputError when the cache folder cannot hold `disk_gigabytes`."""
        self._kept: dict[Hashable, NDArray[np.uint8]] = {}
        self._places: dict[Hashable, _Place] = {}
        self._bytes_left = int(gigabytes * GIGABYTE)
        self._disk_bytes_left = int(disk_gigabytes * GIGABYTE)
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        if self._disk_bytes_left:
            self._file = _open_file(disk_gigabytes)

    @classmethod
    def of(cls, recipe: Recipe) -> ImageCache:
        """A cache of the recipe's size."""
        return cls(recipe.cache_gigabytes, recipe.disk_cache_gigabytes)

    def __enter__(self) -> ImageCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop all images; nothing is cached from then on."""
        self._kept.clear()
        self._places.clear()
        self._bytes_left = self._disk_bytes_left = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def get(self, key: Hashable, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The image of `key`, from the cache or else from `make`."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        place = self._places.get(key)
        if place is not None and self._file is not None:
            return self._read(self._file, place)
        image = make()
        self.keep(key, image)
        return image

    @property
    def kept_bytes(self) -> int:
        """Bytes of all images in memory."""
        with self._lock:
            return sum(each.nbytes for each in self._kept.values())

    def drop(self, is_unneeded: Callable[[Hashable], bool]) -> None:
        """Drop images by key, to make room in memory for others."""
        with self._lock:
            for key in [each for each in self._kept if is_unneeded(each)]:
                self._bytes_left += self._kept.pop(key).nbytes
            for key in [each for each in self._places if is_unneeded(each)]:
                del self._places[key]

    def keep(self, key: Hashable, image: NDArray[np.uint8]) -> None:
        """Keep an image, if there is room."""
        with self._lock:
            if key in self._kept or key in self._places:
                return  # another thread was faster
            if image.nbytes <= self._bytes_left:
                self._bytes_left -= image.nbytes
                self._kept[key] = image
            elif self._file is not None and image.nbytes <= self._disk_bytes_left:
                offset = self._file.seek(0, os.SEEK_END)
                written = 0
                with suppress(OSError):
                    written = self._file.write(np.ascontiguousarray(image).data)
                if written == image.nbytes:
                    self._disk_bytes_left -= written
                    self._places[key] = _Place(offset, image.shape)
                else:  # the disk is full: what was written stays in use
                    self._disk_bytes_left = 0

    def _read(self, file: IO[bytes], place: _Place) -> NDArray[np.uint8]:
        with self._lock:
            file.seek(place.offset)
            content = file.read(math.prod(place.shape))
        return np.frombuffer(content, np.uint8).reshape(place.shape)


def _open_file(gigabytes: float) -> IO[bytes]:
    folder = cache_folder()
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / GIGABYTE
    if free < gigabytes:
        raise InputError(
            f"disk_cache_gigabytes is {gigabytes:g}, but {folder} has {free:.1f} GB free; give "
            "less, or set PPLCNET_CACHE to another folder."
        )
    # Unbuffered, or the next seek would retry a failed write.
    return tempfile.TemporaryFile(dir=folder, buffering=0)
