"""Files in a form, as browsers and `curl -F` send them (multipart/form-data, RFC 7578)."""

from __future__ import annotations

import re
from typing import NamedTuple

from pplcnet.serving.refusals import Refusal

__all__ = ["Part", "read_form"]

BOUNDARY = re.compile(
    r'multipart/form-data\s*;.*?boundary=(?:"([^"]{1,200})"|([^\s";,]{1,200}))', re.I
)
FILE_NAME = re.compile(rb'filename="((?:[^"\\\r\n]|\\.){0,1000})"')
MOST_HEADERS = 8192


class Part(NamedTuple):
    """A file in a form."""

    name: str
    """The file's name, as given by the client."""
    content: memoryview


def read_form(content_type: str, body: bytes | bytearray, most: int) -> list[Part]:
    """The files in a form, in order; fields that are not files are skipped.

    Raises:
        Refusal: 400 for a malformed form, 413 for more than `most` parts.
    """
    found = BOUNDARY.match(content_type)
    if found is None:
        raise Refusal(
            400, "the content type of a form must be multipart/form-data with a boundary."
        )
    delimiter = b"--" + (found[1] or found[2]).encode("latin-1")
    view = memoryview(body)
    at = 0 if body.startswith(delimiter) else _after(body, b"\r\n" + delimiter, 0) - len(delimiter)
    parts: list[Part] = []
    for _ in range(most + 1):
        at += len(delimiter)
        if body[at : at + 2] == b"--":
            return parts
        head_end = body.find(b"\r\n\r\n", at, at + MOST_HEADERS)
        if head_end < 0:
            break
        start = head_end + 4
        end = body.find(b"\r\n" + delimiter, start)
        if end < 0:
            break
        name = FILE_NAME.search(body[at:head_end])
        if name is not None:
            parts.append(Part(_text(name[1]), view[start:end]))
        at = end + 2
    else:
        raise Refusal(413, f"the form has more than {most} parts.")
    raise Refusal(400, "the form ends within a part; it was cut off, or its boundary is another.")


def _after(body: bytes | bytearray, what: bytes, start: int) -> int:
    at = body.find(what, start)
    if at < 0:
        raise Refusal(400, "the form has no part with the boundary that its content type names.")
    return at + len(what)


def _text(name: bytes) -> str:
    unescaped = re.sub(rb"\\(.)", rb"\1", name).replace(b"%22", b'"')
    return unescaped.decode("utf-8", "replace")
