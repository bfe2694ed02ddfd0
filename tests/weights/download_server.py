"""A server of weights that behaves as a test tells it, and a file that it sends."""

from __future__ import annotations

import pickle
from http.server import BaseHTTPRequestHandler

import numpy as np

from pplcnet.weights.sources import find_source

SOURCE = find_source("pplcnet_x0_25", "imagenet")


def state_dict(numbers: int, seed: int = 0, value: float | None = None) -> bytes:
    """A `.pdparams` file of `numbers` before a classifier of two classes; one may be `value`."""
    backbone = np.random.default_rng(seed).standard_normal(numbers).astype(np.float32)
    if value is not None:
        backbone[-1] = value
    head = {"fc.weight": np.zeros((1280, 2), np.float32), "fc.bias": np.zeros(2, np.float32)}
    return pickle.dumps({"conv1.conv.weight": backbone, **head}, protocol=4)


# As many numbers as pplcnet_x0_25 has before its classifier.
NUMBERS = 241_000


CONTENT, NEWER = state_dict(NUMBERS), state_dict(NUMBERS, seed=1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        self.server.behave(self, len(self.server.asked))

    def log_message(self, *_: object) -> None:
        pass

    def send_head(self, start: int, size: int) -> None:
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"mark"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")

    def send_file(self, content: bytes, *, length: int | None = None, kind: str = "") -> None:
        start = 0
        given = self.headers.get("Range")
        if given and self.server.can_resume:
            start = int(given.removeprefix("bytes=").rstrip("-"))
        self.send_head(start, len(content))
        self.send_header("Content-Length", str(len(content) - start if length is None else length))
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.end_headers()
        self.wfile.write(content[start:])
