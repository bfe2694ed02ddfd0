"""Names of object storage, listed by several threads: each once, in few requests."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable

import pytest

from pplcnet.jobs import listing
from pplcnet.jobs.listing import Pages, list_side_by_side


class Bucket:
    """Keys in order, as S3 lists them."""

    def __init__(self, keys: list[str], page: int) -> None:
        self._keys = sorted(keys, key=str.encode)
        self._page = page
        self.requests = 0
        self.threads: set[int] = set()

    def open(self, prefix: str, after: str | None) -> Pages:
        place = after

        def page() -> list[str]:
            nonlocal place
            self.requests += 1
            self.threads.add(threading.get_ident())
            beginning = f"{prefix}/" if prefix else ""
            keys = [each for each in self._keys if each.startswith(beginning)]
            begin = 0 if place is None else bisect_right([k.encode() for k in keys], place.encode())
            found = keys[begin : begin + self._page]
            place = found[-1] if found else place
            return found

        return page


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "FULL_PAGE", 10)


def _keys(name: Callable[[int], str], count: int = 500) -> list[str]:
    return [name(number) for number in range(count)]


@pytest.mark.parametrize(
    ("keys", "prefix", "most_requests"),
    [
        (_keys(lambda n: f"{n:04d}.jpg"), "", 51),
        (_keys(lambda n: f"all/{n:04d}.jpg"), "all", 51),
        (_keys(lambda n: f"{n:04d}/a.jpg"), "", 51),  # a folder each: no request for any of them
        (_keys(lambda n: f"{n // 100}/{n:04d}.jpg"), "", 65),
        (_keys(lambda n: f"2026/{n // 100}/{n % 4}/{n:04d}.jpg"), "2026", 100),
        ([*_keys(lambda n: f"a/{n}"), "a", "a!", "a0", "b", "naïve/ü", "a\U0001f600/b"], "", 70),
        ([], "", 1),
    ],
    ids=["flat", "flat below", "tiny folders", "folders", "folders in folders", "odd", "empty"],
)
def test_every_name_is_listed_once_in_few_requests(
    keys: list[str], prefix: str, most_requests: int
) -> None:
    bucket = Bucket(keys, page=10)
    found = list(list_side_by_side(bucket.open, prefix))
    assert sorted(found) == sorted(keys)
    assert bucket.requests <= most_requests


def test_large_folders_are_listed_by_several_threads() -> None:
    gate = threading.Barrier(3, timeout=60)
    bucket = Bucket(_keys(lambda n: f"{n // 100}/{n:04d}.jpg", 300), page=10)

    def open_folder(prefix: str, after: str | None) -> Pages:
        if prefix:
            gate.wait()  # three folders are listed at the same time, or this fails
        return bucket.open(prefix, after)

    assert len(list(list_side_by_side(open_folder, ""))) == 300


def test_what_goes_wrong_in_a_thread_is_raised() -> None:
    bucket = Bucket(_keys(lambda n: f"{n // 100}/{n:04d}.jpg"), page=10)

    def open_folder(prefix: str, after: str | None) -> Pages:
        if prefix:
            raise OSError("gone")
        return bucket.open(prefix, after)

    with pytest.raises(OSError, match="gone"):
        list(list_side_by_side(open_folder, ""))


def test_whoever_stops_taking_names_leaves_no_thread() -> None:
    bucket = Bucket(_keys(lambda n: f"{n // 100}/{n:04d}.jpg"), page=10)
    before = set(threading.enumerate())
    names = list_side_by_side(bucket.open, "")
    next(names)
    names.close()
    for each in set(threading.enumerate()) - before:
        each.join(60)
        assert not each.is_alive()
