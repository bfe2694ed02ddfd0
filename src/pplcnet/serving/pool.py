"""The one queue: photos wait here for the next free worker.

If a worker dies, its photo goes to another one, once; after a second death the photo is to
blame. A photo that takes longer than a request's deadline gets its worker killed. Idle jobs wait
in a queue of their own until the main one is empty.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from math import ceil

from pplcnet.serving.jobs import Job
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.settings import Settings
from pplcnet.serving.worker_link import Reply, WorkerDied, WorkerLink
from pplcnet.serving.workers import Workers

__all__ = ["Pool"]

FIRST_GUESS = 0.02
"""Assumed seconds per photo before any was measured."""
WEIGHT = 0.05
"""Weight of the latest photo in the moving average."""


class Pool:
    """Turns photos into answers, in one event loop."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        """The workers may start later."""
        self._settings, self._workers = settings, workers
        workers.on_free = self._dispatch
        self._queue: deque[Job] = deque()
        self._mean_seconds = FIRST_GUESS
        self._idle: deque[Job] = deque()
        self.waiting = 0
        """Photos in the queue."""
        self.idle_waiting = 0
        """Jobs that wait until the queue is empty."""
        self.running = 0
        """Photos being processed by workers."""
        self.retries = 0

    def expected_seconds(self, photos: int = 0) -> float:
        """Estimated seconds to answer what is waiting and `photos` more, at the measured rate."""
        share = self._mean_seconds / max(self._workers.alive, 1)
        return (self.waiting + photos + self.running / 2) * share

    def check_room(self, photos: int) -> None:
        """Refusal 503 if this many photos do not fit, or would be answered too late.

        A request is accepted as a whole while the queue is not full, so the queue may exceed its
        limit by one request.
        """
        if self.waiting >= self._settings.queue:
            raise Refusal(
                503,
                f"the queue is full ({self.waiting} photos wait); try again later.",
                retry_after=self._retry_after(),
                cause="queue",
            )
        expected = self.expected_seconds(photos)
        if expected > self._settings.timeout:
            raise Refusal(
                503,
                f"a result would take about {expected:.0f} s, longer than the limit of "
                f"{self._settings.timeout:g} s; try again later.",
                retry_after=self._retry_after(),
                cause="deadline",
            )
        if self._workers.are_failing:
            raise Refusal(
                503,
                "no worker is alive; new ones are being started.",
                retry_after=5,
                cause="workers",
            )

    def _retry_after(self) -> int:
        return max(1, ceil(self.expected_seconds()))

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue photos; Refusal 503 as in `check_room`.

        Args:
            jobs: either all idle or none.
        """
        is_idle = jobs[0].is_idle
        self.check_room(len(jobs) + (self.idle_waiting if is_idle else 0))
        now = time.monotonic()
        for job in jobs:
            job.queued_at = now
            self._wait(job, 1)
        (self._idle if is_idle else self._queue).extend(jobs)
        self._dispatch()

    def _wait(self, job: Job, change: int) -> None:
        """Count a job that starts (1) or stops (-1) waiting."""
        job.is_waiting = change > 0
        if job.is_idle:
            self.idle_waiting += change
        else:
            self.waiting += change

    def give_up(self, job: Job, reason: Refusal | None = None) -> None:
        """Drop a job that nobody waits for any more.

        A worker that is processing it finishes, and its answer is discarded.
        """
        if job.is_waiting:
            self._wait(job, -1)
        job.payload = b""
        if job.future.done():
            return
        if reason is None:
            job.future.cancel()
        else:
            job.future.set_exception(reason)

    def _dispatch(self) -> None:
        """Give waiting jobs to free workers."""
        if self._empty(self._queue):
            self._empty(self._idle)

    def _empty(self, queue: deque[Job]) -> bool:
        """Start the jobs in a queue; False if some are left for lack of a free worker."""
        while queue:
            job = queue[0]
            link = None
            if job.is_waiting:
                link = self._workers.take_free(job.message["serial"])
                if link is None:
                    return False
            queue.popleft()
            if link is not None:
                self._start(link, job)
        return True

    def _start(self, link: WorkerLink, job: Job) -> None:
        self._wait(job, -1)
        self.running += 1
        if not job.deaths:
            self._give(link, job)
            return

        # Workers often die together, of memory for example. Check first that this one is alive, so
        # that its death, if it is dying too, is not held against the photo.
        def go_on(reply: Reply | WorkerDied) -> None:
            if not isinstance(reply, WorkerDied):
                self._give(link, job)
                return
            self.running -= 1
            self._return(job)
            self._workers.release(link)

        link.give({"do": "ping"}, (), go_on, limit=self._settings.timeout)

    def _give(self, link: WorkerLink, job: Job) -> None:
        job.started_at = time.monotonic()
        link.give(
            job.message,
            (job.payload,),
            lambda reply: self._finish(link, job, reply),
            limit=self._settings.timeout,
        )

    def _finish(self, link: WorkerLink, job: Job, reply: Reply | WorkerDied) -> None:
        self.running -= 1
        if isinstance(reply, WorkerDied):
            self._after_death(job)
        else:
            if not job.is_idle:  # if it is, it is doing other work
                taken = time.monotonic() - job.started_at
                self._mean_seconds += WEIGHT * (taken - self._mean_seconds)
            job.settle(*reply)
        self._workers.release(link)

    def _after_death(self, job: Job) -> None:
        job.deaths += 1
        if job.deaths == 1:
            self.retries += 1
            self._return(job)
        elif not job.future.done():
            job.future.set_exception(Refusal(500, "two workers died on this photo."))

    def _return(self, job: Job) -> None:
        """Put a job back at the front of its queue."""
        if not job.future.done():
            self._wait(job, 1)
            (self._idle if job.is_idle else self._queue).appendleft(job)
            self._dispatch()
