"""Lists object storage that returns ordered pages of names; large folders are listed in parallel.

When a folder fills a whole page, another thread lists the rest of it and this one continues after
it. So no request is spent on finding folders, and small ones are listed along the way.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

__all__ = ["Pages", "list_side_by_side"]

FULL_PAGE = 1000
THREADS = 16
WAITING_PAGES = 64
"""Pages that may wait for the consumer, which bounds memory."""
BEHIND_ALL = "\U0010ffff"
"""Sorts after any character in a name."""


class Pages(Protocol):
    """Lists one folder, page by page."""

    def __call__(self) -> list[str]:
        """The next names, in order; [] at the end."""
        ...


class _Folder(NamedTuple):
    """A folder to list, starting after a given name."""

    prefix: str
    after: str | None


class _Listing:
    """Threads that list folders, and the pages they have found."""

    def __init__(self, open_folder: Callable[[str, str | None], Pages], prefix: str) -> None:
        self._open_folder = open_folder
        self._folders: queue.SimpleQueue[_Folder | None] = queue.SimpleQueue()
        self._folders.put(_Folder(prefix, None))
        self._unfinished = 1
        """Folders being listed or waiting to be."""
        self._lock = threading.Lock()
        self.is_stopped = threading.Event()
        self.found: queue.Queue[list[str] | BaseException | None] = queue.Queue(WAITING_PAGES)
        """Pages, or an exception; None at the end."""

    def work(self) -> None:
        """List folders until none is left; runs in each thread."""
        while (folder := self._folders.get()) is not None and not self.is_stopped.is_set():
            try:
                self._list(folder)
            except BaseException as error:  # noqa: BLE001 - raised where the names are taken
                self._put(error)
            with self._lock:
                self._unfinished -= 1
                is_last = not self._unfinished
            if is_last:
                self._put(None)

    def _list(self, folder: _Folder) -> None:
        pages = self._open_folder(folder.prefix, folder.after)
        while (page := pages()) and not self.is_stopped.is_set():
            self._put(page)
            inner = _folder_of(page, folder.prefix)
            if inner is not None and len(page) >= FULL_PAGE:
                with self._lock:
                    self._unfinished += 1
                self._folders.put(_Folder(inner, page[-1]))
                pages = self._open_folder(folder.prefix, f"{inner}/{BEHIND_ALL}")

    def _put(self, what: list[str] | BaseException | None) -> None:
        while not self.is_stopped.is_set():
            try:
                self.found.put(what, timeout=0.2)
                return
            except queue.Full:
                continue

    def stop(self) -> None:
        """Stop the threads."""
        self.is_stopped.set()
        for _ in range(THREADS):
            self._folders.put(None)


def list_side_by_side(
    open_folder: Callable[[str, str | None], Pages], prefix: str
) -> Iterator[str]:
    """Yield all names below a prefix, in no particular order.

    Args:
        open_folder: starts listing the names below a prefix, after a given name.
        prefix: without a slash at its end; "" for everything.

    Raises what `open_folder` and its pages raise.
    """
    listing = _Listing(open_folder, prefix)
    threads = [threading.Thread(target=listing.work, daemon=True) for _ in range(THREADS)]
    for each in threads:
        each.start()
    try:
        while (page := listing.found.get()) is not None:
            if isinstance(page, BaseException):
                raise page
            yield from page
    finally:
        listing.stop()


def _folder_of(page: list[str], prefix: str) -> str | None:
    """The folder directly below the prefix that holds the whole page; None if it spans several."""
    start = len(prefix) + 1 if prefix else 0
    first, slash, _ = page[0][start:].partition("/")
    inner = page[0][: start + len(first)]
    return inner if slash and page[-1].startswith(f"{inner}/") else None
