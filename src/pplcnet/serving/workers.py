"""All worker processes: starts them, replaces those that die, and loads networks into them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from pplcnet.serving.frames import Buffer
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.settings import Settings
from pplcnet.serving.worker_link import Reply, WorkerDied, WorkerLink

__all__ = ["Loadable", "Workers"]

# Seconds.
LOAD_LIMIT, WATCH_EVERY, END_LIMIT = 120.0, 0.1, 1.0
DEATHS_WITHIN, FIRST_PAUSE, LONGEST_PAUSE = 30.0, 0.5, 30.0
DEATHS_FREE = 3
"""Deaths within DEATHS_WITHIN after which a new worker has to wait."""


class Loadable(NamedTuple):
    """A network to load in every worker, kept so that a new worker can load it too."""

    serial: int
    message: dict[str, Any]
    payload: bytes


class Workers:
    """A fixed number of processes, in one event loop."""

    def __init__(self, settings: Settings, say: Callable[..., None]) -> None:
        """Start the processes, which load while the server does.

        Args:
            say: called with an event and its facts, for the log.
        """
        self._settings, self._say = settings, say
        self._loadables: dict[int, Loadable] = {}
        self._deaths: deque[float] = deque()
        self._failed_starts = 0
        self._wanted: deque[asyncio.Future[WorkerLink]] = deque()
        self._leaving: list[WorkerLink] = []
        self._is_closing = False
        self._background: set[asyncio.Task[None]] = set()
        self.on_free: Callable[[], None] = lambda: None
        """Called when a worker becomes free."""
        self.deaths = self.kills = 0
        self.alive = 0
        """Workers that can answer."""
        self._serial = 0
        self._links = [WorkerLink(self._on_death) for _ in range(settings.workers)]

    async def start(self) -> None:
        """Connect to the workers; afterwards they can take requests."""
        await asyncio.gather(*map(self._set_up, list(self._links)))
        self._spawn(self._watch())

    @property
    def starting(self) -> int:
        """Workers that are loading, or still to be started."""
        return self._settings.workers - self.alive

    @property
    def are_failing(self) -> bool:
        """Whether no worker is alive, and new ones die before they can answer.

        Workers killed while working do not count: their replacements answer the requests, or these
        reach their deadline.
        """
        return not self.alive and self._failed_starts >= DEATHS_FREE

    def take_free(self, serial: int | None = None) -> WorkerLink | None:
        """Take a free worker that has this network, or None; `release` it afterwards."""
        for link in self._links:
            if not link.is_taken and (serial is None or serial in link.loaded):
                link.is_taken = True
                return link
        return None

    def release(self, link: WorkerLink) -> None:
        """Give the worker to those waiting for it, or else make it free for any work."""
        link.is_taken = False
        if link.is_dead:
            return
        while link.reservations:
            waiting = link.reservations.popleft()
            if not waiting.done():
                link.is_taken = True
                waiting.set_result(None)
                return
        while self._wanted:
            wanted = self._wanted.popleft()
            if not wanted.done():
                link.is_taken = True
                wanted.set_result(link)
                return
        self.on_free()

    # ------------------------------------------------------------------ networks

    def next_serial(self) -> int:
        """A serial number that no network has yet."""
        self._serial += 1
        return self._serial

    async def read(self, message: dict[str, Any]) -> Reply:
        """Let a worker read a bundle or a gallery; WorkerDied if that kills it."""
        link = self.take_free()
        if link is None:
            wanted: asyncio.Future[WorkerLink] = asyncio.get_running_loop().create_future()
            self._wanted.append(wanted)
            link = await wanted
        return await self._ask(link, message)

    async def load(self, loadable: Loadable, *, at_once: bool) -> dict[str, Any]:
        """Load a network in every worker.

        Args:
            at_once: in all of them at the same time; otherwise one after the other, so that the
                others keep answering.

        Returns:
            A worker's description of it.

        Raises:
            Refusal: a worker cannot load it; it is then removed from all of them.
        """
        found: dict[str, Any] = {}
        deaths = 0

        async def load_one(link: WorkerLink) -> None:
            await self._reserve(link)
            reply, _ = await self._ask(link, loadable.message, loadable.payload)
            if "error" in reply:
                raise Refusal(reply["status"], reply["error"])
            link.loaded.add(loadable.serial)
            found.update(reply)

        await self._someone_alive()
        while missing := [
            each for each in self._links if each.is_set_up and loadable.serial not in each.loaded
        ]:
            some = missing if at_once else missing[:1]
            faults = await asyncio.gather(*map(load_one, some), return_exceptions=True)
            deaths += sum(isinstance(each, WorkerDied) for each in faults)
            wrong = next((each for each in faults if isinstance(each, Refusal)), None)
            if deaths > 1:  # it may have died for another reason
                wrong = Refusal(500, "two workers died while they loaded the network.")
            if wrong is not None:
                await self.unload(loadable.serial)
                raise wrong
            if deaths:
                await self._someone_alive()
        self._loadables[loadable.serial] = loadable
        self.on_free()
        return found

    async def unload(self, serial: int) -> None:
        """Remove a network from every worker; nothing may be queued for it."""
        self._loadables.pop(serial, None)
        for link in [each for each in self._links if serial in each.loaded]:
            with contextlib.suppress(WorkerDied):
                await self._reserve(link)
                link.loaded.discard(serial)
                await self._ask(link, {"do": "unload", "serial": serial})

    async def _someone_alive(self) -> None:
        until = time.monotonic() + LOAD_LIMIT
        while not self.alive:
            if time.monotonic() > until:
                raise Refusal(503, "no worker is alive.")
            await asyncio.sleep(0.05)

    async def _reserve(self, link: WorkerLink) -> None:
        """Wait until this worker is free, ahead of any photo; WorkerDied if it dies."""
        if link.is_dead:
            raise WorkerDied
        if not link.is_taken:
            link.is_taken = True
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        link.reservations.append(future)
        await future

    async def _ask(self, link: WorkerLink, message: dict[str, Any], payload: Buffer = b"") -> Reply:
        """Send a request to a worker that was taken, and release it afterwards."""
        try:
            return await link.ask(message, (payload,) if payload else (), limit=LOAD_LIMIT)
        finally:
            self.release(link)

    # ------------------------------------------------------------------ life and death

    async def _set_up(self, link: WorkerLink) -> None:
        """Give a new worker its limits and all served networks."""
        await link.connect()
        limits = {
            "do": "settings",
            "max_pixels": self._settings.max_pixels,
            "spare_bytes": self._settings.worker_bytes,
        }
        try:
            await link.ask(limits, limit=LOAD_LIMIT)
            while missing := self._loadables.keys() - link.loaded:
                loadable = self._loadables[min(missing)]
                reply, _ = await link.ask(loadable.message, (loadable.payload,), limit=LOAD_LIMIT)
                if "error" in reply:
                    self._say("a new worker cannot load a network", reason=reply["error"])
                link.loaded.add(loadable.serial)
        except WorkerDied:
            return
        link.is_set_up = True
        self.alive += 1
        self._failed_starts = 0
        self.release(link)

    def _on_death(self, link: WorkerLink) -> None:
        was_set_up = link.is_set_up
        link.is_set_up, link.is_taken = False, True
        self.alive -= was_set_up
        if self._is_closing:
            return
        if not was_set_up:
            self._failed_starts += 1
        link.kill()
        self.deaths += 1
        self._links.remove(link)
        self._leaving.append(link)
        for waiting in link.reservations:
            if not waiting.done():
                waiting.set_exception(WorkerDied())
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > DEATHS_WITHIN:
            self._deaths.popleft()
        pause = 0.0
        if len(self._deaths) > DEATHS_FREE:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (len(self._deaths) - DEATHS_FREE - 1))
        self._say("a worker died", pid=link.pid, new_one_after_s=pause)
        self._spawn(self._replace(pause))

    async def _replace(self, pause: float) -> None:
        if pause:
            await asyncio.sleep(pause)
        link = WorkerLink(self._on_death)
        self._links.append(link)
        await self._set_up(link)

    async def _watch(self) -> None:
        """Kill workers that take too long, and reap those that have exited."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            now = time.monotonic()
            for link in self._links:
                if link.is_overdue(now):
                    self.kills += 1
                    self._say("a worker took too long and is killed", pid=link.pid)
                    link.kill()
            self._leaving = [each for each in self._leaving if not each.has_ended()]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Stop the workers; they have at most a second to finish their current work."""
        self._is_closing = True
        for each in self._background:
            each.cancel()
        everyone = [*self._links, *self._leaving]
        for link in everyone:
            link.close()
        until = time.monotonic() + END_LIMIT
        while not all(each.has_ended() for each in everyone) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        self.kill()

    def kill(self) -> None:
        """Kill the workers at once, and wait for them."""
        self._is_closing = True
        for link in [*self._links, *self._leaving]:
            link.kill()
            link.wait()
