"""An OpenTelemetry span for each request, if the process records spans."""

from __future__ import annotations

import importlib
import time
from typing import Any

from pplcnet.serving.logs import TRACE_HEADER, Logged

__all__ = ["Tracing"]

HEADERS = (TRACE_HEADER, b"tracestate")


class Tracing:
    """Writes spans to the tracer provider of the process, if it has one.

    `opentelemetry-instrument` provides one, with whatever exporter its settings name. Without
    OpenTelemetry nothing happens.
    """

    def __init__(self) -> None:
        """Look up the tracer, once."""
        self._tracer: Any = None
        try:
            trace = importlib.import_module("opentelemetry.trace")
        except ImportError:
            return
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            return  # nobody records spans
        self._trace = trace
        self._propagate = importlib.import_module("opentelemetry.propagate")
        self._tracer = trace.get_tracer("pplcnet.serving")

    def record(self, request: Logged, status: int, seconds: float) -> None:
        """Record a request that has ended, as part of the trace named in its header."""
        if self._tracer is None:
            return
        caller, ended = request.caller, time.time_ns()
        attributes: dict[str, Any] = {
            "http.request.method": request.method,
            "http.response.status_code": status,
            "pplcnet.photos": caller.photos,
            "pplcnet.queue_ms": caller.queue_ns / 1e6,
            "pplcnet.work_ms": caller.work_ns / 1e6,
            "pplcnet.request_id": request.id,
        }
        name = request.method
        if caller.served is not None:
            attributes["pplcnet.model"] = caller.served.name
            attributes["pplcnet.version"] = caller.served.version
            name = f"{request.method} {caller.served.name}"
        carrier = {key.decode(): request.headers[key] for key in HEADERS if key in request.headers}
        span = self._tracer.start_span(
            name,
            context=self._propagate.extract(carrier),
            kind=self._trace.SpanKind.SERVER,
            start_time=ended - round(seconds * 1e9),
            attributes=attributes,
        )
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(ended)
