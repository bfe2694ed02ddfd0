"""The served models: their names, versions and states; loads and retires them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pplcnet.serving.refusals import Refusal
from pplcnet.serving.repository import Found, Source, find_bundles, find_galleries
from pplcnet.serving.served import LOADING, READY, UNAVAILABLE, Entry, Served
from pplcnet.serving.settings import Settings
from pplcnet.serving.statistics import Statistics
from pplcnet.serving.worker_link import WorkerDied
from pplcnet.serving.workers import Loadable, Workers

__all__ = ["BUNDLES", "GALLERIES", "Kind", "Models"]


class Kind(NamedTuple):
    """What a model table contains."""

    noun: str
    find: Callable[[Sequence[Source]], list[Found]]
    read: str
    """The request that makes a worker read one."""
    prefix: str = ""
    """Prefix of the name in logs and metrics."""
    is_gallery: bool = False


BUNDLES = Kind("model", find_bundles, "read")
GALLERIES = Kind("gallery", find_galleries, "read_gallery", "gallery/", is_gallery=True)


class Models:
    """The table of models, or of galleries; requests can only look names up in it."""

    def __init__(
        self,
        workers: Workers,
        sources: Sequence[Source],
        settings: Settings,
        say: Callable[..., None],
        kind: Kind = BUNDLES,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            say: called with an event and its facts, for the log.
        """
        self._workers, self._sources = workers, sources
        self._settings, self._say, self._kind = settings, say, kind
        self._entries: dict[str, dict[str, Entry]] = {}
        self.statistics: dict[tuple[str, str], Statistics] = {}
        """By name and version, including those that no longer answer."""
        self._newest: dict[str, Served] = {}
        """Cache of `find` for requests without a version; cleared on every change."""
        self._unloaded: set[str] = set()
        self._is_started = False
        self._lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ looking up

    @property
    def names(self) -> list[str]:
        """All names, in any state."""
        return sorted(self._entries)

    def entries(self, name: str | None = None) -> list[Entry]:
        """Every version of one model, or of all models."""
        names = self.names if name is None else [name]
        return [
            entry
            for each in names
            for entry in sorted(
                self._entries.get(each, {}).values(), key=lambda entry: int(entry.version)
            )
        ]

    def versions(self, name: str) -> list[str]:
        """The versions that answer, lowest first."""
        return [each.version for each in self.entries(name) if each.served is not None]

    def newest(self, name: str) -> Served | None:
        """The highest version that answers, or None."""
        answering = [each.served for each in self.entries(name) if each.served is not None]
        return answering[-1] if answering else None

    def find(self, name: str, version: str = "") -> Served:
        """Find a model that answers; the highest version if none is given.

        Raises:
            Refusal: 404 for an unknown name or version, 503 for one that is not ready.
        """
        if not version and name in self._newest:
            return self._newest[name]
        versions = self._entries.get(name)
        self._check_started()
        if versions is None:
            there = ", ".join(self.names) or "none"
            raise Refusal(404, f"no {self._kind.noun} {name[:128]!r}; there are: {there}.")
        if version and version not in versions:
            there = ", ".join(self.versions(name)) or "none"
            raise Refusal(404, f"no version {version[:20]!r} of {name!r}; there are: {there}.")
        entries = [versions[version]] if version else self.entries(name)
        for entry in reversed(entries):
            if entry.served is not None:
                if not version:
                    self._newest[name] = entry.served
                return entry.served
        reason = f": {entries[-1].reason}" if entries and entries[-1].reason else "."
        raise Refusal(503, f"{name} is not ready{reason}", retry_after=5, cause="not ready")

    def only(self) -> Served:
        """The model of a server that has only one.

        Raises:
            Refusal: 400 if there are several; otherwise as `find`.
        """
        self._check_started()
        if len(self._entries) == 1:
            return self.find(next(iter(self._entries)))
        raise Refusal(
            400, f"name a model, as in /v1/classify/NAME; there are: {', '.join(self.names)}."
        )

    def are_ready(self) -> bool:
        """Whether every model has a version that answers."""
        return self._is_started and all(
            name in self._unloaded or self.versions(name) for name in self._entries
        )

    def _check_started(self) -> None:
        if not self._is_started:
            raise Refusal(503, "the server is starting.", retry_after=1, cause="not ready")

    # ------------------------------------------------------------------ loading

    async def refresh(self, *, is_first: bool = False, only: str | None = None) -> list[Entry]:
        """Load what is new or has changed, and drop what is gone.

        A version that cannot be loaded is tried again when its files change.

        Args:
            is_first: nothing is served yet, so all workers may load at once.
            only: check only this model, and retry what failed.

        Returns:
            The versions that could not be loaded this time.
        """
        async with self._lock:
            found = await asyncio.to_thread(self._kind.find, self._sources)
            if only is None:
                wanted = [each for each in found if each.name not in self._unloaded]
            else:
                wanted = [each for each in found if each.name == only]
            failed: list[Entry] = []
            for name in sorted({each.name for each in wanted}):
                versions = [each for each in wanted if each.name == name]
                failed += await self._refresh_model(versions, is_first, again=only is not None)
            self._let_go({(each.name, each.version) for each in wanted}, only)
            self._is_started = True
            return failed

    async def _refresh_model(
        self, versions: Sequence[Found], is_first: bool, *, again: bool
    ) -> list[Entry]:
        """Load the newest versions that can be loaded; returns those that could not, in order."""
        answering = 0
        failed = []
        for found in reversed(versions):
            if answering == self._settings.keep_versions:
                break
            entry = self._entry(found.name, found.version)
            is_settled = entry.fingerprint == found.fingerprint
            if not is_settled or (again and (entry.served is None or entry.reason)):
                is_up = await self._bring_up(entry, found, at_once=is_first)
                if not is_up:
                    failed.append(entry)
            answering += entry.served is not None
        return failed

    async def load(self, name: str) -> None:
        """Look for a model's newest version again and load it.

        Raises:
            Refusal: 400 with the reason; the previous version goes on answering.
        """
        self._unloaded.discard(name)
        failed = await self.refresh(only=name)
        if failed:
            raise Refusal(400, f"{name} cannot be loaded: {failed[0].reason}")
        if name not in self._entries:
            raise Refusal(400, f"no model {name[:128]!r} is in the served folders.")

    async def unload(self, name: str) -> None:
        """Stop serving a model until it is loaded again; Refusal 404 for an unknown one."""
        async with self._lock:
            if name not in self._entries:
                raise Refusal(404, f"no model {name[:128]!r}; there are: {', '.join(self.names)}.")
            self._unloaded.add(name)
            for entry in self.entries(name):
                if entry.served is not None:
                    self._retire(entry.served)
                entry.served, entry.state, entry.fingerprint = None, UNAVAILABLE, ()
                entry.reason = "unloaded by request."

    def _entry(self, name: str, version: str) -> Entry:
        versions = self._entries.setdefault(name, {})
        return versions.setdefault(version, Entry(name, version))

    async def _bring_up(self, entry: Entry, found: Found, *, at_once: bool) -> bool:
        """Load a version in every worker; the previous one answers until it takes over."""
        serial = self._workers.next_serial()
        entry.fingerprint = found.fingerprint
        if entry.served is None:
            entry.state, entry.reason = LOADING, ""
        try:
            loadable = await self._read(found, serial)
            facts = await self._workers.load(loadable, at_once=at_once)
        except (Refusal, WorkerDied) as error:
            entry.reason = str(error) or "a worker died while it read the bundle."
            entry.state = UNAVAILABLE if entry.served is None else READY
            self._say(
                f"cannot load a {self._kind.noun}",
                model=entry.name,
                version=entry.version,
                reason=entry.reason,
            )
            return False
        statistics = self.statistics.setdefault((entry.name, entry.version), Statistics())
        before, entry.served = (
            entry.served,
            Served(self._kind.prefix + entry.name, entry.version, serial, facts, statistics),
        )
        self._newest.clear()
        entry.state, entry.reason = READY, ""
        self._say(f"loaded a {self._kind.noun}", model=entry.name, version=entry.version)
        if before is not None:
            self._retire(before)
        return True

    async def _read(self, found: Found, serial: int) -> Loadable:
        settings = self._settings
        message, payload = await self._workers.read(
            {
                "do": self._kind.read,
                "bundle": str(found.path),
                "others": [str(each) for each in found.others],
                "engine": settings.engine,
                "precision": settings.precision,
                "is_trusted": settings.is_trusted,
            }
        )
        if "error" in message:
            raise Refusal(message["status"], message["error"])
        return Loadable(serial, {**message, "serial": serial}, payload)

    def _let_go(self, there: set[tuple[str, str]], only: str | None) -> None:
        """Stop serving versions that are gone, or older than those to keep."""
        is_gallery = self._kind.is_gallery
        given = {each.name for each in self._sources if each.is_gallery == is_gallery}
        for entry in self.entries(only):
            # A version that was given by its path is being replaced, or will come back.
            if entry.name in given or entry.name in self._unloaded:
                continue
            answering = self.versions(entry.name)[-self._settings.keep_versions :]
            is_gone = (entry.name, entry.version) not in there
            if entry.served is not None and (is_gone or entry.version not in answering):
                self._retire(entry.served)
                entry.served, entry.state, entry.fingerprint = None, UNAVAILABLE, ()
                entry.reason = "its files are gone." if is_gone else "a newer version replaced it."
            if is_gone and entry.served is None:
                del self._entries[entry.name][entry.version]
                if not self._entries[entry.name]:
                    del self._entries[entry.name]

    def _retire(self, served: Served) -> None:
        """Unload it from the workers once no request is using it."""

        async def unload() -> None:
            await served.retire()
            await self._workers.unload(served.serial)

        self._newest.clear()
        task = asyncio.get_running_loop().create_task(unload())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
