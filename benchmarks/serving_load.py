"""Load generator for an HTTP server of photos: as fast as it answers, or at a fixed rate.

python benchmarks/serving_load.py URL PHOTOS [--connections 16] [--seconds 10] [--rate N]
    [--field NAME] [--base64]

Every connection sends a photo from the folder, waits for the answer and sends the next one. Prints
one JSON object: answers by status, requests sent but not answered, answers in each second, and the
latencies of the responses with status 200, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BOUNDARY = "boundary-of-the-load"
AGAIN = 0.05
"""Seconds before a failed connection is retried."""


class Load:
    """What is sent, and what came back."""

    def __init__(self, url: str, photos: list[bytes], field: str | None, in_json: bool) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.host, self.port = parts.hostname, parts.port or 80
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.requests = [self._request(target, each, field, in_json) for each in photos]
        self.statuses: Counter[int] = Counter()
        self.seconds: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.lost = self.sent = 0
        self.begun = time.perf_counter()

    def _request(self, target: str, photo: bytes, field: str | None, in_json: bool) -> bytes:
        kind = "application/octet-stream"
        if in_json:
            kind = "application/json"
            photo = json.dumps({field: base64.b64encode(photo).decode()}).encode()
        elif field is not None:
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            head = (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; '
                'filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
            )
            photo = head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()
        lines = (
            f"POST {target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(photo)}\r\n\r\n"
        )
        return lines.encode() + photo

    async def run(self, connections: int, seconds: float, rate: float | None) -> None:
        self.until = self.begun + seconds
        pause = None if rate is None else connections / rate
        await asyncio.gather(*(self._client(at, pause, connections) for at in range(connections)))

    async def _client(self, number: int, pause: float | None, clients: int) -> None:
        due = self.begun + (pause or 0) * number / clients
        at = number
        while time.perf_counter() < self.until:
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
            except OSError:
                await asyncio.sleep(AGAIN)
                continue
            try:
                is_open = True
                while is_open and time.perf_counter() < self.until:
                    if pause is not None:
                        await asyncio.sleep(max(0.0, due - time.perf_counter()))
                        due += pause
                    is_open = await self._ask(
                        reader, writer, self.requests[at % len(self.requests)]
                    )
                    at += clients
            except (OSError, asyncio.IncompleteReadError):
                self.lost += 1
            finally:
                writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> bool:
        """Send a request; returns whether the connection stays open."""
        started = time.perf_counter()
        self.sent += 1
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status, *lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.readexactly(int(headers["content-length"]))
        ended = time.perf_counter()
        code = int(status.split()[1])
        self.statuses[code] += 1
        if code == 200:
            self.latencies.append((ended - started) * 1000)
            self.seconds[int(ended - self.begun)] += 1
        return headers.get("connection") != "close"

    def to_dict(self) -> dict[str, Any]:
        taken = time.perf_counter() - self.begun
        return {
            "seconds": taken,
            "sent": self.sent,
            "statuses": dict(self.statuses),
            "lost": self.lost,
            "by_second": [self.seconds[at] for at in range(int(taken))],
            "latencies_ms": sorted(self.latencies),
        }


def read_photos(folder: str) -> list[bytes]:
    """The photos of a folder and its subfolders."""
    endings = (".jpg", ".jpeg", ".png", ".webp")
    paths = [each for each in sorted(Path(folder).rglob("*")) if each.suffix.lower() in endings]
    return [each.read_bytes() for each in paths[:200]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("photos")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--rate", type=float, help="requests a second; default: as many as answered"
    )
    parser.add_argument("--field", help="send a form with the photo in this field")
    parser.add_argument("--base64", action="store_true", help="as base64 in JSON, not in a form")
    arguments = parser.parse_args()
    photos = read_photos(arguments.photos)
    load = Load(arguments.url, photos, arguments.field, arguments.base64)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(load.run(arguments.connections, arguments.seconds, arguments.rate))
    print(json.dumps(load.to_dict()))


if __name__ == "__main__":
    main()
