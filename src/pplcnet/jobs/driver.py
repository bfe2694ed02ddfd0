"""Gives the shards of a job to workers until every shard has its part or was given up.

It keeps no state that matters: the parts alone show what is done.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pplcnet.bundle.manifest import today
from pplcnet.errors import StorageError
from pplcnet.jobs.parts import failed_name
from pplcnet.jobs.plan import Shard
from pplcnet.jobs.storage import Storage
from pplcnet.jobs.worker import Done, Outcome

__all__ = ["Died", "Driver", "Limits", "Progress", "Ready", "TooManyBrokenError", "Workers"]

MOST_DEATHS = 3
"""Workers that may die on one shard before it is given up."""
MOST_FAILED_STARTS = 3
"""Workers in a row that may die during start-up."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a shard is retried; doubled with every try, up to the second number."""
WAIT = 0.5
SLOW_SECONDS, SLOW_TIMES = 60.0, 4.0
"""An idle worker takes over a shard that has been running for at least this many seconds and
this many times the average."""


class Ready(NamedTuple):
    """A worker is ready for a shard."""

    worker: int


class Died(NamedTuple):
    """A worker died; another takes its place."""

    worker: int
    reason: str


class Workers(Protocol):
    """Processes that classify shards, on this machine or on others."""

    def give(self, worker: int, shard: Shard) -> None:
        """Give a shard to an idle worker."""
        ...

    def events(self, seconds: float) -> list[Ready | Died | tuple[int, Outcome]]:
        """What has happened, after waiting at most `seconds`: a worker and the outcome of its shard
        (-1 if the worker could not start), or a change in a worker's state."""
        ...

    def describe(self) -> str:
        """How many there are and what they are waiting for, in words."""
        ...


class Limits(NamedTuple):
    """When to give up."""

    retries: int
    """Retries of a shard after the first attempt."""
    broken_share: float
    """Largest fraction of broken photos, of all or, if the total is unknown, of those done."""
    broken_anyway: int
    """This many broken photos are always accepted."""


class TooManyBrokenError(Exception):
    """More photos are broken than allowed."""


@dataclass
class Progress:
    """How far a job has got."""

    photos: int | None
    """Photos in all shards of this run, including those done before; None if not known in
    advance."""
    shards: int
    done_photos: int = 0
    broken: int = 0
    done_shards: int = 0
    retried: int = 0
    workers: int = 0
    running: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    """Shard number to the reason it was given up."""
    note: str = ""
    """What the job is waiting for; "" while workers are busy."""


class _Running(NamedTuple):
    shard: Shard
    begun: float


class Driver:
    """One run of a job."""

    def __init__(
        self,
        workers: Workers,
        storage: Storage,
        progress: Progress,
        limits: Limits,
        report: Callable[[Progress], None],
    ) -> None:
        self._workers, self._storage = workers, storage
        self._progress, self._limits, self._report = progress, limits, report
        self._idle: deque[int] = deque()
        self._running: dict[int, _Running] = {}
        self._waiting: list[tuple[float, Shard]] = []
        """Shards to retry, each with the earliest time for it."""
        self._tries: Counter[int] = Counter()
        self._deaths: Counter[int] = Counter()
        self._failed_starts = 0
        self._finished: set[int] = set()
        self._seconds = 0.0
        """Total time of the finished shards."""

    def run(self, shards: Iterator[Shard]) -> None:
        """Process all shards.

        Raises:
            StorageError: a failure that retrying would not fix: access denied, a full disk, a
                damaged bundle, workers that cannot start.
            TooManyBrokenError: see `Limits`.
        """
        is_exhausted = False
        while True:
            while self._idle:
                shard = self._due()
                if shard is None and not is_exhausted:
                    shard = next(shards, None)
                    is_exhausted = shard is None
                if shard is None and is_exhausted:
                    shard = self._slow()
                if shard is None:
                    break
                worker = self._idle.popleft()
                self._running[worker] = _Running(shard, time.monotonic())
                self._workers.give(worker, shard)
            unfinished = {each.shard.number for each in self._running.values()} - self._finished
            if is_exhausted and not unfinished and not self._waiting:
                return
            self._progress.running = len(self._running)
            for event in self._workers.events(WAIT):
                self._take(event)
            self._progress.workers = len(self._running) + len(self._idle)
            self._progress.note = "" if self._running else self._workers.describe()
            self._report(self._progress)

    def _take(self, event: Ready | Died | tuple[int, Outcome]) -> None:
        if isinstance(event, Ready):
            self._failed_starts = 0
            self._idle.append(event.worker)
        elif isinstance(event, Died):
            self._take_death(event)
        else:
            worker, outcome = event
            running = self._running.pop(worker, None)
            if running is not None:
                self._idle.append(worker)
            if isinstance(outcome, Done):
                self._seconds += outcome.seconds
                # A slow worker may still finish a shard that was given up.
                if outcome.number not in self._finished or outcome.number in self._progress.failed:
                    self._finish(outcome.number, outcome.photos, outcome.broken)
                    self._check_broken()
            elif outcome.stops:
                raise StorageError(outcome.reason)
            elif running is None:
                self._count_failed_start(outcome.reason)
            else:
                self._try_again(running.shard, f"{outcome.reason} (on {outcome.host})")

    def _take_death(self, event: Died) -> None:
        running = self._running.pop(event.worker, None)
        if running is None:
            if event.worker in self._idle:
                self._idle.remove(event.worker)
            else:
                self._count_failed_start(event.reason)
            return
        number = running.shard.number
        self._deaths[number] += 1
        if self._deaths[number] >= MOST_DEATHS:
            self._give_up(running.shard, f"{MOST_DEATHS} workers died on it; {event.reason}")
        elif number not in self._finished:
            self._progress.retried += 1
            self._waiting.append((0.0, running.shard))

    def _count_failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise StorageError(f"workers cannot start: {reason}")

    def _try_again(self, shard: Shard, reason: str) -> None:
        if shard.number in self._finished:
            return
        self._tries[shard.number] += 1
        tries = self._tries[shard.number]
        if tries > self._limits.retries:
            self._give_up(shard, reason)
            return
        self._progress.retried += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - so that shards do not come back together
        self._waiting.append((time.monotonic() + pause, shard))

    def _give_up(self, shard: Shard, reason: str) -> None:
        if shard.number in self._finished:
            return
        self._finished.add(shard.number)
        self._progress.failed[shard.number] = reason
        text = json.dumps({"shard": shard.number, "reason": reason, "when": today()}, indent=2)
        self._storage.write(failed_name(shard.number), text.encode())

    def _finish(self, number: int, photos: int, broken: int) -> None:
        self._finished.add(number)
        self._waiting = [each for each in self._waiting if each[1].number != number]
        if self._progress.failed.pop(number, None) is not None:
            self._storage.remove(failed_name(number))
        self._progress.done_shards += 1
        self._progress.done_photos += photos
        self._progress.broken += broken

    def _check_broken(self) -> None:
        progress, limits = self._progress, self._limits
        photos = progress.photos or progress.done_photos
        if progress.broken > max(limits.broken_anyway, limits.broken_share * photos):
            raise TooManyBrokenError

    def _due(self) -> Shard | None:
        """A shard whose retry time has come, or None."""
        now = time.monotonic()
        for at, (when, shard) in enumerate(self._waiting):
            if when <= now:
                del self._waiting[at]
                return shard
        return None

    def _slow(self) -> Shard | None:
        """A shard that has one worker and is taking much longer than average, or None."""
        mean = self._seconds / max(1, self._progress.done_shards)
        patience = max(SLOW_SECONDS, SLOW_TIMES * mean)
        now = time.monotonic()
        times = Counter(each.shard.number for each in self._running.values())
        for each in self._running.values():
            number = each.shard.number
            if number not in self._finished and times[number] == 1 and now - each.begun > patience:
                return each.shard
        return None
