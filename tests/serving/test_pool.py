"""The order in which photos and idle jobs go to the workers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pplcnet.serving.jobs import Job
from pplcnet.serving.pool import Pool
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.settings import Settings

REPLY = {"arrays": [], "rows": None, "ns": [1, 1, 1]}


class OneWorker:
    """In place of all workers: says what it was given, and replies when it is told to."""

    alive, are_failing = 1, False

    def __init__(self) -> None:
        self.given: list[str] = []
        self.on_free: Any = None
        self._on_reply: Any = None

    def take_free(self, serial: int) -> OneWorker | None:
        return None if self._on_reply else self

    def give(self, message: dict[str, Any], payload: Any, on_reply: Any, limit: float) -> None:
        self.given.append(message["name"])
        self._on_reply = on_reply

    def release(self, link: OneWorker) -> None:
        self.on_free()

    def reply(self) -> None:
        on_reply, self._on_reply = self._on_reply, None
        on_reply((REPLY, b""))


def _job(name: str, *, is_idle: bool = False) -> Job:
    return Job({"name": name, "serial": 1}, b"", is_idle=is_idle)


def test_idle_jobs_wait_until_no_photo_does() -> None:
    async def run() -> list[str]:
        workers = OneWorker()
        pool = Pool(Settings(workers=1, queue=10), workers)
        pool.submit([_job(f"idle {at}", is_idle=True) for at in range(3)])
        pool.submit([_job("photo 1"), _job("photo 2")])
        assert (pool.waiting, pool.idle_waiting) == (2, 2)
        for _ in range(2):
            workers.reply()
        pool.submit([_job("photo 3")])
        for _ in range(4):
            workers.reply()
        assert (pool.waiting, pool.idle_waiting) == (0, 0)
        return workers.given

    assert asyncio.run(run()) == ["idle 0", "photo 1", "photo 2", "photo 3", "idle 1", "idle 2"]


def test_idle_jobs_take_no_room_from_photos() -> None:
    async def run() -> None:
        workers = OneWorker()
        pool = Pool(Settings(workers=1, queue=2, timeout=5), workers)
        idle = [_job("idle", is_idle=True) for _ in range(49)]
        pool.submit(idle)
        pool.submit([_job("photo"), _job("photo")])
        with pytest.raises(Refusal, match="the queue is full"):
            pool.submit([_job("photo")])
        for each in idle:
            pool.give_up(each)
        assert pool.idle_waiting == 0
        with pytest.raises(Refusal, match="longer than the limit"):
            Pool(Settings(workers=1, queue=2, timeout=0.1), workers).submit(
                [_job("idle", is_idle=True) for _ in range(49)]
            )

    asyncio.run(run())
