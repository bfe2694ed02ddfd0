"""Describes the HTTP endpoints in OpenAPI 3.1."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any, Protocol

__all__ = ["describe_api"]


class Described(Protocol):
    """What the description needs to know of an endpoint."""

    @property
    def method(self) -> str:
        """The HTTP method."""
        ...

    @property
    def path(self) -> str:
        """May contain {model}, {version} and {gallery}."""
        ...

    @property
    def summary(self) -> str:
        """What it does."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it needs no key."""
        ...


PHOTO = {"type": "string", "format": "binary"}
TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
BODIES: dict[str, Any] = {
    "classify": {
        "image/*": {"schema": PHOTO},
        "application/octet-stream": {"schema": PHOTO},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"photo": {"type": "array", "items": PHOTO}}}
        },
    },
    "infer": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "id": {"type": "string"},
                    "inputs": {"type": "array", "items": TENSOR},
                    "outputs": {"type": "array", "items": {"type": "object"}},
                    "parameters": {"type": "object"},
                },
            }
        },
        "application/octet-stream": {"schema": PHOTO},
    },
}
BODIES["explain"] = {
    name: BODIES["classify"][name] for name in ("image/*", "application/octet-stream")
}
BODIES["search"] = BODIES["classify"]
VERSION = {
    "name": "version",
    "in": "query",
    "description": "the version of the model; default: the newest",
    "schema": {"type": "string"},
}
QUERIES: dict[str, list[dict[str, Any]]] = {
    "classify": [
        {
            "name": "top",
            "in": "query",
            "description": "number of answers for each photo",
            "schema": {"type": "integer", "minimum": 1},
        },
        VERSION,
    ],
    "search": [
        {
            "name": "top",
            "in": "query",
            "description": "number of photos of the gallery; default: 1",
            "schema": {"type": "integer", "minimum": 1},
        },
        {
            "name": "threshold",
            "in": "query",
            "description": "least similarity at which a photo belongs to one of the classes; "
            "default: the gallery's own",
            "schema": {"type": "number", "minimum": -1, "maximum": 1},
        },
    ],
    "explain": [
        {
            "name": "class",
            "in": "query",
            "description": "the class to explain; default: the most probable",
            "schema": {"type": "string"},
        },
        VERSION,
    ],
}


def describe_api(routes: Iterable[Described]) -> dict[str, Any]:
    """The OpenAPI document for these endpoints; plain values."""
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pplcnet",
            "version": metadata.version("pplcnet"),
            "description": "Predictions of bundles for photos; the Open Inference Protocol v2.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def query_options(route: Described) -> list[str] | None:
    """The query options that an endpoint takes; None if it need not refuse others."""
    queries = QUERIES.get(_kind(route) or "")
    return None if queries is None else [each["name"] for each in queries]


def _kind(route: Described) -> str | None:
    """The kind of request with a body that it takes; None if it takes no body."""
    return next(
        (each for each in BODIES if f"/{each}" in route.path and route.method == "POST"), None
    )


def _operation(route: Described) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    kind = _kind(route)
    parameters += QUERIES.get(kind or "", [])
    operation: dict[str, Any] = {
        "summary": route.summary,
        "responses": {
            "200": {"description": "the answer"},
            "default": {
                "description": "why there is none",
                "content": {"application/json": {"schema": ERROR}},
            },
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if kind is not None:
        operation["requestBody"] = {"required": True, "content": BODIES[kind]}
    if not route.is_open:
        operation["security"] = [{}, {"key": []}]
    return operation
