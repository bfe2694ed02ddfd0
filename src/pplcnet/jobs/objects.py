"""Object storage by address: S3, Google Cloud Storage and Azure, through obstore.

Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT, ...) or from the
machine's role. Failed requests are retried with growing pauses before they count as failed.
"""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import from_url

from pplcnet.errors import InputError, StorageError, printable
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.listing import FULL_PAGE, Pages, list_side_by_side

__all__ = ["Address", "Objects", "split_address"]

STARTS_ANYWHERE = "s3://"
"""Storage that can list from any name on; others would list everything before it too."""
# Azure addresses have the account before the container.
PARTS_OF_BUCKET = {"s3": 1, "gs": 1, "az": 2}
MISSING = (NotFoundError, FileNotFoundError)
THERE = (AlreadyExistsError, FileExistsError)
DENIED = (PermissionDeniedError, UnauthenticatedError, PermissionError)
"""obstore's errors; for some of them, some versions raise Python's own."""
RETRIES: Any = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
CLIENT: Any = {
    "timeout": timedelta(seconds=60),
    "connect_timeout": timedelta(seconds=10),
    "allow_http": True,  # when AWS_ENDPOINT says so, as for a server on a private network
}
STREAM_BYTES = 1 << 20
TRIES, PAUSE = 4, 0.2
"""Attempts per request, and seconds after the first one."""
Result = TypeVar("Result")


class Address(NamedTuple):
    """The parts of s3://bucket/key."""

    bucket: str
    """With its scheme."""
    key: str


def split_address(address: str) -> Address:
    """Split an address into bucket and key; the key may contain any character.

    Raises:
        InputError: an unknown scheme, or no bucket.
    """
    found = re.fullmatch(r"([a-z0-9+.-]+)://(.*)", address, re.IGNORECASE | re.DOTALL)
    scheme = found[1].lower() if found else ""
    if found is None or scheme not in PARTS_OF_BUCKET:
        raise InputError(
            f"{address}: is not a supported address; give one of S3 (s3://bucket/folder), Google "
            "Cloud Storage (gs://bucket/folder) or Azure (az://account/container/folder)."
        )
    count = PARTS_OF_BUCKET[scheme]
    parts = found[2].split("/", count)
    if len(parts) < count or not all(parts[:count]):
        raise InputError(f"{address}: names no bucket.")
    return Address(f"{scheme}://{'/'.join(parts[:count])}", "".join(parts[count:]).strip("/"))


class Objects:
    """The objects below an address; implements `Storage` for a job's folder."""

    def __init__(self, address: str) -> None:
        self._bucket, self._key = split_address(address)
        try:
            self._store: Any = _opened(self._bucket)
        except (BaseError, ValueError) as error:
            reason = printable(str(error).strip().split("\n")[0])
            raise InputError(f"{address}: {reason}") from error

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""

        def get() -> bytes | None:
            try:
                return bytes(obstore.get(self._store, self._path(name)).bytes())
            except MISSING:
                return None

        return self._again(name, get)

    def read_most(self, name: str, most: int) -> bytes | int | None:
        """The content; its size if that exceeds `most`; None if there is no such object."""

        def get() -> bytes | int | None:
            try:
                found = obstore.get(self._store, self._path(name))
                size = int(found.meta["size"])
                return bytes(found.bytes()) if size <= most else size
            except (*MISSING, InvalidPathError):
                return None

        return self._again(name, get)

    def stream(self, name: str) -> IO[bytes]:
        """Open an object for one sequential read, in a single request.

        Raises:
            StorageFailure, StorageError: on opening or while reading.
        """
        try:
            found = obstore.get(self._store, self._path(name))
        except Exception as error:
            raise self._failure(name, error) from error
        pieces = iter(found.stream(min_chunk_size=STREAM_BYTES))
        return io.BufferedReader(_Stream(pieces, self, name), STREAM_BYTES)

    def write(self, name: str, content: bytes | Path) -> None:
        """See `Storage`. Bytes are one PUT, which is atomic."""
        try:
            if isinstance(content, bytes):
                obstore.put(self._store, self._path(name), content, use_multipart=False)
            else:
                obstore.put(self._store, self._path(name), content)
        except Exception as error:
            raise self._failure(name, error) from error

    def create(self, name: str, content: bytes) -> bool:
        """See `Storage`."""
        try:
            obstore.put(self._store, self._path(name), content, mode="create", use_multipart=False)
        except THERE:
            # An attempt that seemed to fail may have written it.
            return self.read(name) == content
        except Exception as error:
            raise self._failure(name, error) from error
        return True

    def exists(self, name: str) -> bool:
        """See `Storage`."""
        try:
            obstore.head(self._store, self._path(name))
        except MISSING:
            return False
        except Exception as error:
            raise self._failure(name, error) from error
        return True

    def names(self, folder: str) -> Iterator[str]:
        """See `Storage`."""
        yield from (name for name in self.all_names(folder) if "/" not in name)

    def all_names(self, folder: str = "") -> Iterator[str]:
        """Names of all objects below a folder, relative to it, in no particular order."""
        prefix = self._path(folder) if folder.strip("./") else self._key
        start = len(prefix) + 1 if prefix else 0
        if self._bucket.startswith(STARTS_ANYWHERE):
            found = list_side_by_side(self._pages, prefix)
        else:
            pages = self._pages(prefix, None)
            found = (path for page in iter(pages, []) for path in page)
        yield from (path[start:] for path in found)

    def _pages(self, prefix: str, after: str | None) -> Pages:
        """The keys below a prefix that follow `after`, a thousand at a time."""
        last, pages = after, None

        def next_page() -> list[str]:
            nonlocal pages
            try:
                if pages is None:
                    pages = iter(
                        obstore.list(self._store, prefix or None, offset=last, chunk_size=FULL_PAGE)
                    )
                return [each["path"] for each in next(pages, [])]
            except BaseException:
                pages = None  # a retry continues after the last name
                raise

        def page() -> list[str]:
            nonlocal last
            found = self._again(prefix, next_page)
            last = found[-1] if found else last
            return found

        return page

    def remove(self, name: str) -> None:
        """See `Storage`."""
        try:
            obstore.delete(self._store, self._path(name))
        except MISSING:
            return
        except Exception as error:
            raise self._failure(name, error) from error

    def _again(self, name: str, request: Callable[[], Result]) -> Result:
        """Run a request; retries responses that are cut off, which obstore leaves to us."""
        for number in range(TRIES):
            try:
                return request()
            except Exception as error:
                failure = self._failure(name, error)
                if isinstance(failure, StorageError) or number == TRIES - 1:
                    raise failure from error
                time.sleep(PAUSE * 2**number * random.uniform(0.5, 1))  # noqa: S311 - not a secret
        raise AssertionError

    def _path(self, name: str) -> str:
        name = name.removeprefix("./")
        return f"{self._key}/{name}" if self._key else name

    def _failure(self, name: str, error: Exception) -> Exception:
        place = printable(f"{self._bucket}/{self._path(name)}")
        if isinstance(error, DENIED):
            return StorageError(f"{place}: access is denied; check the credentials.")
        reason = printable(str(error).strip().split("\n")[0])[:300]
        return StorageFailure(f"{place}: {reason}")


def _opened(bucket: str) -> Any:
    """obstore's store; whatever the address does not say comes from the environment."""
    options: dict[str, Any] = {"client_options": CLIENT, "retry_config": RETRIES}
    scheme, _, rest = bucket.partition("://")
    if scheme == "az":  # obstore takes the host of such an address for the container
        account, _, container = rest.partition("/")
        return from_url(f"az://{container}", account_name=account, **options)
    return from_url(bucket, **options)


class _Stream(io.RawIOBase):
    """An object's stream as a file."""

    def __init__(self, pieces: Iterator[Any], objects: Objects, name: str) -> None:
        self._pieces, self._objects, self._name = pieces, objects, name
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        if not self._rest:
            try:
                self._rest = memoryview(bytes(next(self._pieces, b"")))
            except Exception as error:
                raise self._objects._failure(self._name, error) from error
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
