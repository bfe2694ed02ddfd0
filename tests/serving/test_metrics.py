"""Metrics, logs, and the description of the endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.conftest import photo
from tests.serving.servers import Server, serving


@pytest.fixture(scope="module")
def logging(bundle: Path) -> Iterator[Server]:
    with serving(
        f"tiny={bundle}", "--workers", 1, "--access-log", "--log-format", "json", "--drain", 0,
        "--metric-names", "triton",
    ) as running:  # fmt: skip
        yield running


def _metrics(server: Server) -> dict[str, float]:
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    known = set()
    values = {}
    for line in lines:
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP \w+ \S.*|TYPE \w+ (counter|gauge|histogram))", line)
            known.add(line.split()[2])
            continue
        found = re.fullmatch(
            r"([a-z_]+)(\{[a-z]+=\"[^\"\\]*\"(,[a-z]+=\"[^\"\\]*\")*\})? (\S+)", line
        )
        assert found, line
        assert {found[1], re.sub("_(bucket|sum|count)$", "", found[1])} & known
        assert found[1] + (found[2] or "") not in values
        values[found[1] + (found[2] or "")] = float(found[4])
    return values


def test_metrics_count_what_was_asked(logging: Server) -> None:
    before = _metrics(logging)
    for body in (photo(), photo(), b"no photo"):
        logging.post("/v1/classify", body)
    after = _metrics(logging)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown("pplcnet_photos_total") == 2
    assert grown('pplcnet_requests_total{model="tiny",version="1",code="200"}') == 2
    assert grown('pplcnet_requests_total{model="tiny",version="1",code="422"}') == 1
    assert grown("pplcnet_request_seconds_count") == 3
    for stage in ("queue", "decode", "network"):
        assert grown(f"pplcnet_{stage}_seconds_count") == 2
        assert grown(f'pplcnet_{stage}_seconds_bucket{{le="+Inf"}}') == 2
    assert grown('nv_inference_request_success{model="tiny",version="1"}') == 2
    assert grown('nv_inference_request_failure{model="tiny",version="1"}') == 1
    assert grown('nv_inference_compute_infer_duration_us{model="tiny",version="1"}') > 0
    assert after['pplcnet_workers{state="idle"}'] == 1
    assert after["pplcnet_queue_photos"] == after["pplcnet_queue_bytes"] == 0
    assert after["process_resident_memory_bytes"] > 1e6
    info = next(name for name in after if name.startswith("pplcnet_model_info"))
    assert logging.get("/v2/models/tiny").json["parameters"]["digest"] in info


def test_names_from_requests_do_not_become_labels(logging: Server) -> None:
    logging.post("/v1/classify/made-up", photo())
    assert not any("made-up" in name for name in _metrics(logging))


def test_every_request_has_a_line_without_photos_or_names(logging: Server) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    logging.post("/v1/classify/tiny", photo(), x_request_id="logged", traceparent=trace)
    logging.get("/v2", x_request_id="last")
    lines = _lines_until(logging, "last")
    line = next(each for each in lines if each.get("id") == "logged")
    assert (line["event"], line["status"], line["photos"], line["model"]) == (
        "request", 200, 1, "tiny",
    )  # fmt: skip
    assert line["bytes"] == len(photo())
    assert line["trace"] == trace
    assert line["client"] == "127.0.0.1"
    assert line["work_ms"] > 0


def _lines_until(server: Server, identifier: str) -> list[dict[str, object]]:
    """The log, once it has the request."""
    for _ in range(1000):
        lines = [json.loads(line) for line in server.log]
        if any(each.get("id") == identifier for each in lines):
            return lines
        server.get("/v2/health/live")
    raise AssertionError(server.log)


def test_the_description_has_every_endpoint(server: Server) -> None:
    found = server.get("/openapi.json").json
    assert found["openapi"].startswith("3.1")
    names = {"{model}": "tiny", "{version}": "1", "{gallery}": "none"}
    for path, methods in found["paths"].items():
        real = re.sub(r"\{\w+\}", lambda match: names[match[0]], path)
        for method, operation in methods.items():
            answer = server.ask(method.upper(), real)
            if "{gallery}" in path:
                assert "no gallery 'none'" in answer.error
            else:
                assert answer.status not in (404, 405), real
            declared = {each["name"] for each in operation.get("parameters", [])}
            assert declared >= set(re.findall(r"\{(\w+)\}", path))
    documented = (Path(__file__).parents[2] / "docs" / "guides" / "serving.md").read_text()
    for path in found["paths"]:
        if path.startswith("/v1") or "health" in path:
            assert path.replace("/{model}", "").replace("/{gallery}", "") in documented
