"""The HTTP endpoints; each is a method that turns a request into a reply."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from math import nan
from typing import Any, NamedTuple

from pplcnet.serving.explaining import explain
from pplcnet.serving.exposition import Exposition
from pplcnet.serving.frames import Buffer
from pplcnet.serving.http_messages import Bodies, Reply, Request, json_reply
from pplcnet.serving.http_tensors import read_json, read_request, write_answer
from pplcnet.serving.jobs import PhotoAnswer
from pplcnet.serving.multipart import read_form
from pplcnet.serving.openapi import describe_api
from pplcnet.serving.page import page
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.served import Served
from pplcnet.serving.service import Service
from pplcnet.serving.settings import Settings

__all__ = ["Endpoints", "Route"]

BINARY, PROMETHEUS = "application/octet-stream", "text/plain; version=0.0.4; charset=utf-8"
MOST_ROWS = 1_000_000

Handler = Callable[[Request, dict[str, str]], Awaitable[Reply]]


class Route(NamedTuple):
    """A path and the endpoint behind it."""

    method: str
    path: str
    """May contain {model}, {version} and {gallery}."""
    handler: Handler
    summary: str
    is_open: bool = False
    """Whether it needs no key."""

    @property
    def form(self) -> re.Pattern[str]:
        """The pattern of the paths that it matches."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


class Endpoints:
    """All HTTP endpoints."""

    def __init__(
        self, settings: Settings, service: Service, bodies: Bodies, exposition: Exposition
    ) -> None:
        """All arguments must belong to the same server."""
        self._settings, self._service = settings, service
        self._bodies, self._exposition = bodies, exposition

    def routes(self) -> list[Route]:
        """Every endpoint, the most used first."""
        model = "/v2/models/{model}"
        version = model + "/versions/{version}"
        infer = "Predictions for photos as tensors, in JSON or binary."
        classify = "Predictions for a photo, or for the files of a form."
        search = "The photos of a gallery most similar to a photo, or to each file of a form."
        metadata = "Inputs and outputs of a model, and its classes."
        ready = "Whether a model answers."
        stats = "Counts and times of a model."
        page = [Route("GET", "/", self._page, "A page for trying photos.", is_open=True)]
        return [
            Route("POST", "/v1/classify", self._classify, classify),
            Route("POST", "/v1/classify/{model}", self._classify, classify),
            Route("POST", "/v1/explain/{model}", self._explain, "Which parts of a photo matter."),
            Route("POST", "/v1/search/{gallery}", self._search, search),
            Route("GET", "/v1/search", self._galleries, "The galleries, and their thresholds."),
            Route("POST", f"{model}/infer", self._infer, infer),
            Route("POST", f"{version}/infer", self._infer, infer),
            Route("GET", "/v2/health/live", self._live, "Whether the server runs.", is_open=True),
            Route("GET", "/v2/health/ready", self._ready, "Whether it answers.", is_open=True),
            Route("GET", "/v2", self._server, "The server's name, version and extensions."),
            Route("GET", "/v2/models/stats", self._stats, "Counts and times of all models."),
            Route("GET", model, self._model, metadata),
            Route("GET", version, self._model, metadata),
            Route("GET", f"{model}/ready", self._model_ready, ready),
            Route("GET", f"{version}/ready", self._model_ready, ready),
            Route("GET", f"{model}/stats", self._stats, stats),
            Route("GET", f"{version}/stats", self._stats, stats),
            Route("POST", "/v2/repository/index", self._index, "All models and their states."),
            Route(
                "POST",
                "/v2/repository/models/{model}/load",
                self._load,
                "Look for a model's newest version, and load it.",
            ),
            Route(
                "POST",
                "/v2/repository/models/{model}/unload",
                self._unload,
                "Stop serving a model.",
            ),
            Route("GET", "/metrics", self._metrics, "Metrics in the text format of Prometheus."),
            Route("GET", "/openapi.json", self._openapi, "This description.", is_open=True),
            *(page if self._settings.has_page else ()),
        ]

    # ------------------------------------------------------------------ photos

    async def _classify(self, request: Request, names: dict[str, str]) -> Reply:
        self._find(request, names)
        most = _most(request.option("top"))
        self._service.check_room()
        body = await self._bodies.read(request)
        served = self._find(request, names)  # it may have been replaced in the meantime
        photos, paths = self._photos(request, body)
        found = await self._service.classify(served, photos, most, request.caller)
        return _reply({"model": served.name, "version": served.version}, found.answers, paths)

    async def _search(self, request: Request, names: dict[str, str]) -> Reply:
        name = names["gallery"]
        self._service.galleries.find(name)
        most, threshold = _most(request.option("top")), _threshold(request.option("threshold"))
        self._service.check_room()
        body = await self._bodies.read(request)
        gallery = self._service.galleries.find(name)
        photos, paths = self._photos(request, body)
        found = await self._service.search(gallery, photos, most or 1, threshold, request.caller)
        return _reply({"gallery": name}, found.answers, paths)

    async def _galleries(self, request: Request, names: dict[str, str]) -> Reply:
        table = self._service.galleries
        found = [(name, table.newest(name)) for name in table.names]
        return json_reply([{"name": name, **each.facts} for name, each in found if each])

    def _photos(self, request: Request, body: bytearray) -> tuple[list[Buffer], list[str] | None]:
        """The photos in a body, and their names if it is a form."""
        kind = request.headers.get(b"content-type", "")
        if not kind.lower().startswith("multipart/"):
            _check_photo(body)
            return [body], None
        parts = read_form(kind, body, self._settings.max_photos)
        if not parts:
            raise Refusal(400, "the form has no file; 'curl -F photo=@photo.jpg' sends one.")
        return [part.content for part in parts], [part.name for part in parts]

    async def _explain(self, request: Request, names: dict[str, str]) -> Reply:
        self._find(request, names)
        self._service.check_room()
        body = await self._bodies.read(request)
        _check_photo(body)
        served = self._find(request, names)
        label = request.option("class")
        found = await explain(self._service, served, body, label, request.caller)
        return json_reply(
            {
                "model": served.name,
                "version": served.version,
                "label": found.label,
                "log_odds": round(found.evidence, 4),
                "drops": found.drops.round(4).tolist(),
                "region": [round(each, 6) for each in found.region],
                "ms": _milliseconds(decode=found.decode_ns, network=found.network_ns),
            }
        )

    def _find(self, request: Request, names: dict[str, str]) -> Served:
        models, version = self._service.models, request.option("version") or ""
        if "model" in names:
            return models.find(names["model"], version)
        only = models.only()
        return models.find(only.name, version) if version else only

    async def _infer(self, request: Request, names: dict[str, str]) -> Reply:
        name, version = names["model"], names.get("version", "")
        self._service.models.find(name, version)
        self._service.check_room()
        body = await self._bodies.read(request)
        length = request.headers.get(b"inference-header-content-length")
        asked = read_request(name, version, body, length)
        content, json_length = write_answer(await self._service.infer(asked, request.caller))
        if json_length is None:
            return Reply(content)
        header = (b"inference-header-content-length", b"%d" % json_length)
        return Reply(content, BINARY, headers=(header,))

    # ------------------------------------------------------------------ the repository

    async def _index(self, request: Request, names: dict[str, str]) -> Reply:
        asked = await self._options(request)
        return json_reply(self._service.index(only_ready=asked.get("ready") is True))

    async def _load(self, request: Request, names: dict[str, str]) -> Reply:
        self._service.check_control()
        if (await self._options(request)).get("parameters"):
            raise Refusal(400, "parameters are unsupported: models are loaded as on disk.")
        await self._service.models.load(names["model"])
        return json_reply({})

    async def _unload(self, request: Request, names: dict[str, str]) -> Reply:
        self._service.check_control()
        await self._options(request)
        await self._service.models.unload(names["model"])
        return json_reply({})

    async def _options(self, request: Request) -> dict[str, Any]:
        """The JSON of a body, which may be empty."""
        body = await self._bodies.read(request)
        return read_json(body) if body.strip() else {}

    # ------------------------------------------------------------------ states and descriptions

    async def _live(self, request: Request, names: dict[str, str]) -> Reply:
        return json_reply({"live": True})

    async def _ready(self, request: Request, names: dict[str, str]) -> Reply:
        is_ready = self._service.is_ready
        return json_reply({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    async def _server(self, request: Request, names: dict[str, str]) -> Reply:
        return json_reply(self._service.describe())

    async def _model(self, request: Request, names: dict[str, str]) -> Reply:
        return json_reply(self._service.describe_model(names["model"], names.get("version", "")))

    async def _model_ready(self, request: Request, names: dict[str, str]) -> Reply:
        is_ready = self._service.is_model_ready(names["model"], names.get("version", ""))
        return json_reply({"name": names["model"], "ready": is_ready}, 200 if is_ready else 503)

    async def _stats(self, request: Request, names: dict[str, str]) -> Reply:
        return json_reply(self._service.statistics(names.get("model"), names.get("version", "")))

    async def _metrics(self, request: Request, names: dict[str, str]) -> Reply:
        text = self._exposition.text(self._bodies.held_bytes)
        return Reply(text.encode(), PROMETHEUS)

    async def _page(self, request: Request, names: dict[str, str]) -> Reply:
        return page()

    async def _openapi(self, request: Request, names: dict[str, str]) -> Reply:
        return json_reply(describe_api(self.routes()))


def _most(text: str | None) -> int | None:
    """Rows per photo, from the query's `top`."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 1 <= int(text) <= MOST_ROWS:
        raise Refusal(
            400, f"top is {text[:40]!r}; it must be a whole number from 1 to {MOST_ROWS}."
        )
    return int(text)


def _threshold(text: str | None) -> float | None:
    """A similarity, from the query's `threshold`."""
    if text is None:
        return None
    try:
        threshold = float(text)
    except ValueError:
        threshold = nan
    if not -1 <= threshold <= 1:
        raise Refusal(400, f"threshold is {text[:40]!r}; it must be a number from -1 to 1.")
    return threshold


def _reply(
    facts: dict[str, Any], answers: Sequence[PhotoAnswer | Refusal], paths: Sequence[str] | None
) -> Reply:
    """The record of a photo, or a list of records for the files of a form."""
    if paths is None:
        return json_reply(_record(answers[0], facts))
    records = [_record(answer, {"path": path}) for answer, path in zip(answers, paths, strict=True)]
    return json_reply({**facts, "photos": records})


def _record(answer: PhotoAnswer | Refusal, facts: dict[str, Any]) -> dict[str, Any]:
    """One photo's answer, as `pplcnet predict --json` prints it, with the time each step took."""
    if isinstance(answer, Refusal):
        return {**facts, "error": answer.summary}
    rows = {} if answer.rows is None else {"predictions": answer.rows}
    return {
        **facts,
        **rows,
        **answer.facts,
        "ms": _milliseconds(
            queue=answer.queue_ns, decode=answer.decode_ns, network=answer.network_ns
        ),
    }


def _milliseconds(**nanoseconds: int) -> dict[str, float]:
    return {name: round(taken / 1e6, 3) for name, taken in nanoseconds.items()}


def _check_photo(body: bytearray) -> None:
    if not body:
        raise Refusal(400, "the body is empty; send a photo's bytes, as 'curl --data-binary' does.")
