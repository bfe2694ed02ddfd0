"""The same answers over gRPC: inference.GRPCInferenceService, and gRPC's health service."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import json_format

from pplcnet.errors import InputError
from pplcnet.serving.access import Access
from pplcnet.serving.application import GONE, REFUSAL_DELAY
from pplcnet.serving.caller import Caller
from pplcnet.serving.grpc_messages import HEALTH, INFERENCE, METHODS, messages
from pplcnet.serving.grpc_tensors import fill_answer, read_request
from pplcnet.serving.http_messages import REQUEST_ID, Bodies
from pplcnet.serving.logs import Log
from pplcnet.serving.metrics import Metrics
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.service import Service
from pplcnet.serving.settings import Settings
from pplcnet.serving.tracing import Tracing

__all__ = ["GrpcServer"]

Handler = Callable[[Any, "Call"], Awaitable[Any]]

OPEN = {"ServerLive", "ServerReady", "Check"}
"""Methods that need no key."""
SERVING, NOT_SERVING = 1, 2
STREAMS = 64
"""Concurrent requests on one connection."""
IDLE_MS = 300_000
"""How long a connection without calls is kept open."""
OVERHEAD = 64 << 10
"""Bytes of a message besides the photos."""
CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    500: grpc.StatusCode.INTERNAL,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Codes by HTTP status; otherwise INVALID_ARGUMENT. 503 depends on its cause."""
EXHAUSTED = {"queue", "deadline", "memory"}


class Call:
    """A call, with the interface that logs and access checks expect of a request."""

    method = "gRPC"

    def __init__(self, name: str, context: Any) -> None:
        """A call whose message may still be arriving."""
        self.path = name
        self.headers = {
            key.encode(): value for key, value in context.invocation_metadata() or ()
            if isinstance(value, str)
        }  # fmt: skip
        given = self.headers.get(b"x-request-id", "")
        self.id = given if REQUEST_ID.fullmatch(given) else os.urandom(8).hex()
        self.received = 0
        """Bytes of the message."""
        self.caller = Caller(client=_address(context.peer()))


class GrpcServer:
    """The gRPC server that runs beside the HTTP server, in the same event loop."""

    def __init__(
        self,
        settings: Settings,
        service: Service,
        *,
        access: Access,
        bodies: Bodies,
        metrics: Metrics,
        log: Log,
    ) -> None:
        """All arguments must belong to the same server."""
        self._settings, self._service, self._access = settings, service, access
        self._bodies, self._metrics, self._log = bodies, metrics, log
        self._tracing = Tracing()
        self._messages = messages()
        self._server: Any = None
        self._certificates: Any = None

    def bind(self, tls: tuple[str, str] | None) -> int:
        """Listen on the configured gRPC port, within the event loop; returns the port.

        Args:
            tls: PEM files: the certificate and its key.

        Raises:
            InputError: the port or the files cannot be used.
        """
        most = self._settings.max_request_bytes + OVERHEAD
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", most),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", STREAMS),
                ("grpc.max_connection_idle_ms", IDLE_MS),
                (
                    "grpc.server_handshake_timeout_ms",
                    round(1000 * self._settings.receive_timeout),
                ),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=self._settings.max_connections,
        )
        for service, names in METHODS.items():
            handlers = {name: self._handler(f"/{service}/{name}", name) for name in names}
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, handlers),)
            )
        host, port = self._settings.host, self._settings.grpc_port
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                return int(self._server.add_insecure_port(address))
            self.read_certificates(tls)
            credentials = grpc.dynamic_ssl_server_credentials(
                self._certificates, lambda: self._certificates
            )
            return int(self._server.add_secure_port(address, credentials))
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"cannot listen for gRPC on {host} port {port}; another program may use the port, "
                "or the TLS files are not PEM."
            ) from error

    def read_certificates(self, tls: tuple[str, str]) -> None:
        """Read the files again, for new connections; OSError if they are gone."""
        contents = []
        for path in tls:
            with open(path, "rb") as file:
                contents.append(file.read())
        certificate, key = contents
        self._certificates = grpc.ssl_server_certificate_configuration([(key, certificate)])

    async def start(self) -> None:
        """Start answering."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no new calls; pending ones have `grace` seconds to finish."""
        await self._server.stop(grace)

    # ------------------------------------------------------------------ calls

    def _handler(self, path: str, name: str) -> Any:
        answer: Handler = getattr(self, f"_{name}")

        async def handle(requests: Any, context: Any) -> Any:
            call = Call(path, context)
            context.set_trailing_metadata((("x-request-id", call.id),))
            started = time.monotonic()
            status = GONE
            try:
                if name not in OPEN:
                    self._access.check_key(call.headers.get(b"authorization", ""))
                request = await self._receive(requests)
                call.received = request.ByteSize()
                call.caller.received_at = time.monotonic()
                call.caller.timeout = context.time_remaining()
                with self._bodies.hold(call.received):
                    found = await answer(request, call)
                status = 200
                return found
            except Refusal as refusal:
                status = refusal.status
                if status == 503:
                    self._metrics.refused[refusal.cause or "other"] += 1
                    await asyncio.sleep(REFUSAL_DELAY)
                trailer = (("x-request-id", call.id), *_pushback(refusal))
                await context.abort(_code(refusal), refusal.summary, trailer)
            finally:
                taken, served = time.monotonic() - started, call.caller.served
                model, version = (served.name, served.version) if served else ("", "")
                self._metrics.count_request(model, version, status, taken)
                self._log.access(call, status, taken)
                self._tracing.record(call, status, taken)

        # gRPC would wait indefinitely for the message of a unary call before this code runs. To
        # clients, a stream of one message is the same.
        return grpc.stream_unary_rpc_method_handler(
            handle,
            request_deserializer=self._messages[f"{name}Request"].FromString,
            response_serializer=self._messages[f"{name}Response"].SerializeToString,
        )

    async def _receive(self, requests: Any) -> Any:
        """The message of a call; Refusal 408 if it takes too long, 400 if there is none."""
        limit = self._settings.receive_timeout
        try:
            async with asyncio.timeout(limit):
                return await anext(aiter(requests))
        except TimeoutError:
            raise Refusal(408, f"the request was not complete within {limit:g} s.") from None
        except StopAsyncIteration:
            raise Refusal(400, "the call has no message.") from None

    def _response(self, name: str, **values: Any) -> Any:
        return self._messages[f"{name}Response"](**values)

    def _parsed(self, name: str, values: dict[str, Any]) -> Any:
        """The response, filled from plain values, as in JSON; ignores unknown fields."""
        return json_format.ParseDict(values, self._response(name), ignore_unknown_fields=True)

    async def _ServerLive(self, request: Any, call: Call) -> Any:  # noqa: N802 - the method's name
        return self._response("ServerLive", live=True)

    async def _ServerReady(self, request: Any, call: Call) -> Any:  # noqa: N802
        return self._response("ServerReady", ready=self._service.is_ready)

    async def _Check(self, request: Any, call: Call) -> Any:  # noqa: N802
        if request.service not in ("", INFERENCE, HEALTH):
            raise Refusal(404, f"no service {request.service[:128]!r}.")
        return self._response("Check", status=SERVING if self._service.is_ready else NOT_SERVING)

    async def _ModelReady(self, request: Any, call: Call) -> Any:  # noqa: N802
        try:
            is_ready = self._service.is_model_ready(request.name, request.version)
        except Refusal:  # clients use this to ask whether a model exists
            is_ready = False
        return self._response("ModelReady", ready=is_ready)

    async def _ServerMetadata(self, request: Any, call: Call) -> Any:  # noqa: N802
        return self._parsed("ServerMetadata", self._service.describe())

    async def _ModelMetadata(self, request: Any, call: Call) -> Any:  # noqa: N802
        described = self._service.describe_model(request.name, request.version)
        return self._parsed("ModelMetadata", described)

    async def _ModelInfer(self, request: Any, call: Call) -> Any:  # noqa: N802
        self._service.models.find(request.model_name, request.model_version)
        self._service.check_room()
        asked = read_request(request)
        answer = await self._service.infer(asked, call.caller)
        response = self._response("ModelInfer")
        fill_answer(response, answer, is_raw=asked.is_binary)
        return response

    async def _ModelStatistics(self, request: Any, call: Call) -> Any:  # noqa: N802
        found = self._service.statistics(request.name or None, request.version)
        return self._parsed("ModelStatistics", found)

    async def _RepositoryIndex(self, request: Any, call: Call) -> Any:  # noqa: N802
        index = self._service.index(only_ready=request.ready)
        return self._parsed("RepositoryIndex", {"models": index})

    async def _RepositoryModelLoad(self, request: Any, call: Call) -> Any:  # noqa: N802
        self._service.check_control()
        if request.parameters:
            raise Refusal(400, "parameters are unsupported: models are loaded as on disk.")
        await self._service.models.load(request.model_name)
        return self._response("RepositoryModelLoad")

    async def _RepositoryModelUnload(self, request: Any, call: Call) -> Any:  # noqa: N802
        self._service.check_control()
        await self._service.models.unload(request.model_name)
        return self._response("RepositoryModelUnload")


def _code(refusal: Refusal) -> grpc.StatusCode:
    if refusal.status == 503:
        is_full = refusal.cause in EXHAUSTED
        return grpc.StatusCode.RESOURCE_EXHAUSTED if is_full else grpc.StatusCode.UNAVAILABLE
    return CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT)


def _pushback(refusal: Refusal) -> tuple[tuple[str, str], ...]:
    """Metadata that tells gRPC's own retries when to try again."""
    if refusal.retry_after is None:
        return ()
    return (("grpc-retry-pushback-ms", str(1000 * refusal.retry_after)),)


def _address(peer: str) -> str:
    """The client's address from "ipv4:127.0.0.1:5000" or "ipv6:%5B::1%5D:5000"."""
    address = peer.partition(":")[2].rpartition(":")[0]
    return address.removeprefix("%5B").removesuffix("%5D")
