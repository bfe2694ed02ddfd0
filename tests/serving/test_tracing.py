"""Spans of OpenTelemetry, where the process records them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from pplcnet.serving.caller import Caller
from pplcnet.serving.tracing import Tracing
from tests.serving.servers import PATIENCE

# In a process of its own: a tracer provider is set once for a process.
PROGRAM = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pplcnet.serving.tracing import Tracing
from tests.serving.test_tracing import TRACE, a_request

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracing = Tracing()
tracing.record(a_request({b"traceparent": TRACE}), 200, 0.25)
tracing.record(a_request({}), 503, 0.1)
print(json.dumps([
    {
        "name": each.name, "trace": f"{each.context.trace_id:032x}", "kind": each.kind.name,
        "parent": f"{each.parent.span_id:016x}" if each.parent else None,
        "ms": (each.end_time - each.start_time) / 1e6, "status": each.status.status_code.name,
        "attributes": dict(each.attributes),
    }
    for each in exporter.get_finished_spans()
]))
"""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class _Request:
    caller, method, path, id, received = Caller(), "POST", "/v1/classify", "seven", 10

    def __init__(self, headers: dict[bytes, str]) -> None:
        self.headers = headers


def a_request(headers: dict[bytes, str]) -> _Request:
    request = _Request(headers)
    request.caller.photos, request.caller.queue_ns = 2, 3_000_000
    return request


@pytest.mark.skipif(find_spec("opentelemetry") is None, reason="OpenTelemetry is not installed")
def test_a_request_is_a_span_of_the_trace_that_its_header_names() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert (first["name"], first["kind"]) == ("POST", "SERVER")
    assert first["trace"] == TRACE.split("-")[1]
    assert first["parent"] == TRACE.split("-")[2]
    assert first["ms"] == pytest.approx(250)
    assert first["attributes"]["pplcnet.photos"] == 2
    assert first["attributes"]["pplcnet.queue_ms"] == 3
    assert first["attributes"]["http.response.status_code"] == 200
    assert (second["parent"], second["status"]) == (None, "ERROR")
    assert second["trace"] != first["trace"]


def test_where_nobody_records_spans_nothing_happens() -> None:
    Tracing().record(a_request({b"traceparent": TRACE}), 200, 0.1)
