"""The driver: shards are given, tried again and given up, whatever becomes of the workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from pplcnet.errors import StorageError
from pplcnet.jobs import driver as driving
from pplcnet.jobs.driver import Died, Driver, Limits, Progress, Ready, TooManyBrokenError
from pplcnet.jobs.plan import Shard
from pplcnet.jobs.storage import Folder
from pplcnet.jobs.worker import Done, Failed, Outcome

Event = Ready | Died | tuple[int, Outcome]
SHARDS = [Shard(number, [b"a", b"b"]) for number in range(6)]


class Scripted:
    """Workers whose answers a test decides: `answer(worker, shard number, time it is given)`."""

    def __init__(self, count: int, answer: Callable[[int, int, int], Event | None]) -> None:
        self._answer = answer
        self._events: list[Event] = [Ready(worker) for worker in range(count)]
        self._next = count
        self.times: defaultdict[int, int] = defaultdict(int)

    def give(self, worker: int, shard: Shard) -> None:
        self.times[shard.number] += 1
        event = self._answer(worker, shard.number, self.times[shard.number])
        if event is None:
            return  # it works for ever
        self._events.append(event)
        if isinstance(event, Died):
            self._events.append(Ready(self._next))
            self._next += 1

    def events(self, seconds: float) -> list[Event]:
        found, self._events = self._events, []
        return found

    def describe(self) -> str:
        return "scripted workers"


def _done(worker: int, number: int, broken: int = 0) -> Event:
    return worker, Done(number, 2, broken, 0.0, "here")


def _failed(worker: int, number: int, *, stops: bool = False) -> Event:
    return worker, Failed(number, "the disk hums", stops, "here")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "FIRST_PAUSE", 0.001)


def _drive(tmp_path: Path, workers: Scripted, retries: int = 2, most_broken: int = 5) -> Progress:
    progress = Progress(12, 6)
    limits = Limits(retries, 0.0, most_broken)
    Driver(workers, Folder(tmp_path), progress, limits, lambda _: None).run(iter(SHARDS))
    return progress


def test_every_shard_is_done_once_when_nothing_fails(tmp_path: Path) -> None:
    workers = Scripted(2, lambda worker, number, _: _done(worker, number))
    progress = _drive(tmp_path, workers)
    assert dict(workers.times) == dict.fromkeys(range(6), 1)
    assert (progress.done_shards, progress.done_photos, progress.retried) == (6, 12, 0)


def test_a_shard_that_fails_is_tried_again_and_then_given_up(tmp_path: Path) -> None:
    def answer(worker: int, number: int, time: int) -> Event:
        if (number == 1 and time < 3) or number == 4:
            return _failed(worker, number)
        return _done(worker, number)

    workers = Scripted(2, answer)
    progress = _drive(tmp_path, workers)
    assert (workers.times[1], workers.times[4]) == (3, 3)
    assert progress.failed == {4: "the disk hums (on here)"}
    assert progress.done_shards == 5
    assert "the disk hums" in (tmp_path / "failed" / "shard-000004.json").read_text()


def test_a_shard_whose_worker_dies_is_given_to_another(tmp_path: Path) -> None:
    def answer(worker: int, number: int, time: int) -> Event:
        return Died(worker, "SIGKILL") if number == 2 and time == 1 else _done(worker, number)

    workers = Scripted(2, answer)
    assert _drive(tmp_path, workers).done_shards == 6
    assert workers.times[2] == 2


def test_a_shard_that_kills_three_workers_is_set_aside(tmp_path: Path) -> None:
    workers = Scripted(
        1,
        lambda worker, number, _: Died(worker, "SIGSEGV") if number == 3 else _done(worker, number),
    )
    progress = _drive(tmp_path, workers, retries=50)
    assert workers.times[3] == 3
    assert progress.failed == {3: "3 workers died on it; SIGSEGV"}


def test_a_worker_that_hangs_loses_its_shard_to_an_idle_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "SLOW_SECONDS", 0.05)
    workers = Scripted(
        2, lambda worker, number, time: None if (number, time) == (0, 1) else _done(worker, number)
    )
    assert _drive(tmp_path, workers).done_shards == 6
    assert workers.times[0] == 2


def test_what_no_other_try_would_help_ends_the_job(tmp_path: Path) -> None:
    workers = Scripted(1, lambda worker, number, _: _failed(worker, number, stops=True))
    with pytest.raises(StorageError, match="the disk hums"):
        _drive(tmp_path, workers)


def test_workers_that_never_begin_end_the_job(tmp_path: Path) -> None:
    class Stillborn(Scripted):
        def events(self, seconds: float) -> list[Event]:
            return [Died(0, "exit code 1")]

    with pytest.raises(StorageError, match="cannot start: exit code 1"):
        _drive(tmp_path, Stillborn(0, lambda worker, number, _: _done(worker, number)))


def test_too_many_broken_photos_end_the_job(tmp_path: Path) -> None:
    workers = Scripted(1, lambda worker, number, _: _done(worker, number, broken=2))
    with pytest.raises(TooManyBrokenError):
        _drive(tmp_path, workers)
    assert sum(workers.times.values()) == 3


def test_a_shard_that_is_done_after_it_was_given_up_counts_as_done(tmp_path: Path) -> None:
    progress = Progress(2, 1)
    workers = Scripted(2, lambda worker, number, _: None)
    driver = Driver(workers, Folder(tmp_path), progress, Limits(0, 1.0, 5), lambda _: None)
    for worker in range(2):  # as `_slow` gives it to an idle one
        driver._running[worker] = driving._Running(SHARDS[0], 0.0)
    driver._take(_failed(0, 0))
    assert list(progress.failed) == [0]
    driver._take(_done(1, 0))
    assert (progress.failed, progress.done_shards) == ({}, 1)
    assert list((tmp_path / "failed").iterdir()) == []
