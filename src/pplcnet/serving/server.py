"""The server process: sockets, signals, start-up and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from pplcnet.errors import BundleError, InputError
from pplcnet.serving.access import Access
from pplcnet.serving.application import Application
from pplcnet.serving.endpoints import Endpoints
from pplcnet.serving.exposition import Exposition
from pplcnet.serving.http_messages import Bodies
from pplcnet.serving.http_protocol import Limits, bounded_protocol
from pplcnet.serving.logs import Log
from pplcnet.serving.metrics import Metrics
from pplcnet.serving.models import GALLERIES, Models
from pplcnet.serving.pool import Pool
from pplcnet.serving.repository import Source
from pplcnet.serving.service import Service
from pplcnet.serving.settings import Settings
from pplcnet.serving.workers import Workers

if TYPE_CHECKING:
    from pplcnet.serving.grpc_server import GrpcServer

__all__ = ["Tls", "bind", "run"]

Announce = Callable[[Models, Models, int | None], None]

KEEP_ALIVE = 30
"""Seconds that an idle connection is kept open."""
BACKLOG = 2048


@dataclass(frozen=True)
class Tls:
    """PEM files."""

    certificate: str
    key: str


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: `_Server` handles them."""
        yield


class _Server:
    """All parts of a running server."""

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[Source],
        workers: Workers,
        log: Log,
        *,
        keys: Sequence[str],
        tls: Tls | None,
    ) -> None:
        self.settings, self.sources, self.workers, self.log = settings, sources, workers, log
        self.models = Models(workers, sources, settings, log.event)
        self.galleries = Models(workers, sources, settings, log.event, GALLERIES)
        metrics, bodies, pool = Metrics(), Bodies(settings), Pool(settings, workers)
        self.service = Service(
            settings, workers, pool, models=self.models, galleries=self.galleries, metrics=metrics
        )
        exposition = Exposition(
            metrics, workers, pool, self.models, has_triton_names=settings.has_triton_names
        )
        endpoints = Endpoints(settings, self.service, bodies, exposition)
        access = Access(settings, keys)
        self.application = Application(
            endpoints.routes(), access=access, bodies=bodies, metrics=metrics, log=log
        )
        self.grpc: GrpcServer | None = None
        if settings.grpc_port is not None:
            # Workers are started by fork and exec, which gRPC would complain about.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
            from pplcnet.serving.grpc_server import GrpcServer

            self.grpc = GrpcServer(
                settings, self.service, access=access, bodies=bodies, metrics=metrics, log=log
            )
        limits = Limits(settings.receive_timeout, connections=settings.max_connections)
        self.config = uvicorn.Config(
            self.application,
            http=bounded_protocol(
                limits, lambda status: metrics.count_request("", "", status, 0.0)
            ),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=round(settings.timeout + settings.receive_timeout) + 1,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
        )
        self.tls = tls
        try:
            self.config.load()
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"the TLS certificate or its key cannot be used ({reason}); both must be PEM files."
            ) from error
        logger = logging.getLogger("uvicorn.error")
        logger.handlers, logger.propagate = [log.of_uvicorn()], False
        logger.setLevel(logging.ERROR)
        self.uvicorn = _Uvicorn(self.config)
        self._background: set[asyncio.Task[None]] = set()

    async def run(self, listening: socket.socket, announce: Announce) -> None:
        """Serve until a signal; BundleError if a bundle that was given cannot be served."""
        loop = asyncio.get_running_loop()
        grpc_port = self.grpc.bind(self._tls_files()) if self.grpc else None
        loop.add_signal_handler(signal.SIGTERM, self._stop, self.settings.drain)
        loop.add_signal_handler(signal.SIGINT, self._stop, 0.0)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        serving = loop.create_task(self.uvicorn.serve(sockets=[listening]))
        try:
            if self.grpc:
                await self.grpc.start()
            await self.workers.start()
            await self._refresh(is_first=True)
            self._check_given()
            announce(self.models, self.galleries, grpc_port)
            if self.settings.reload_every:
                self._spawn(self._reload_often())
            await serving
        finally:
            self.uvicorn.should_exit = True
            self.uvicorn.force_exit = self.uvicorn.force_exit or not serving.done()
            for each in self._background:
                each.cancel()
            if self.grpc:
                await self.grpc.stop(0 if self.uvicorn.force_exit else self.settings.timeout)
            await self.workers.close()
            await serving

    def _check_given(self) -> None:
        """BundleError if something given by its path cannot be served."""
        given = {(each.is_gallery, each.name): each for each in self.sources if each.name}
        for table in (self.models, self.galleries):
            for entry in table.entries():
                key = (table is self.galleries, entry.name)
                if key in given and entry.served is None:
                    path, reason = str(given[key].path), entry.reason
                    raise BundleError(reason if reason.startswith(path) else f"{path}: {reason}")

    def _stop(self, drain: float) -> None:
        """On the first signal, finish all pending requests; on the second, exit at once."""
        if self.service.is_stopping:
            self.uvicorn.should_exit = self.uvicorn.force_exit = True
            return
        self.service.is_stopping = self.application.is_closing = True
        self.log.event("stopping", new_connections_for_s=drain)
        asyncio.get_running_loop().call_later(drain, setattr, self.uvicorn, "should_exit", True)

    def _reload(self) -> None:
        if self.tls is not None and self.config.ssl is not None:
            try:
                self.config.ssl.load_cert_chain(self.tls.certificate, self.tls.key)
                if self.grpc:
                    self.grpc.read_certificates((self.tls.certificate, self.tls.key))
            except (OSError, ssl.SSLError) as error:
                self.log.event("cannot reload the TLS certificate", reason=str(error))
        self._spawn(self._refresh())

    def _tls_files(self) -> tuple[str, str] | None:
        return (self.tls.certificate, self.tls.key) if self.tls else None

    async def _refresh(self, *, is_first: bool = False) -> None:
        await self.models.refresh(is_first=is_first)
        await self.galleries.refresh(is_first=is_first)

    async def _reload_often(self) -> None:
        while True:
            await asyncio.sleep(self.settings.reload_every)
            await self._refresh()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; InputError if the address cannot be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); another program may "
            "use the port: choose one with --port, or any free one with --port 0."
        ) from error


def run(
    settings: Settings,
    sources: Sequence[Source],
    workers: Workers,
    log: Log,
    *,
    listening: socket.socket,
    announce: Announce,
    keys: Sequence[str] = (),
    tls: Tls | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        workers: already starting.
        announce: called with the models, the galleries and the gRPC port, if any, once
            everything is ready.

    Raises:
        BundleError: a bundle or gallery that was given by its path cannot be served.
        InputError: the TLS files or the port of gRPC cannot be used.
    """
    server = _Server(settings, sources, workers, log, keys=keys, tls=tls)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(server.run(listening, announce))
