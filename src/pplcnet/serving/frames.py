"""Frames on the socket between the server and a worker: a JSON message and raw bytes.

A frame is the length of the message (4 bytes), the length of the payload (8 bytes), both
little-endian, the message in JSON, and the payload.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Buffer", "FrameError", "FrameReader", "pack", "read_frame"]

Buffer = bytes | bytearray | memoryview
Frame = tuple[dict[str, Any], bytes]

HEAD = struct.Struct("<IQ")
# json.dumps would create an encoder for each message.
_encode = json.JSONEncoder(separators=(",", ":")).encode
MOST_MESSAGE, MOST_PAYLOAD = 64 << 20, 4 << 30


class FrameError(ValueError):
    """The other side sent something that is not a frame."""


def pack(message: dict[str, Any], payload: Sequence[Buffer] = ()) -> list[Buffer]:
    """The parts of a frame, to be written in order."""
    text = _encode(message).encode()
    return [HEAD.pack(len(text), sum(map(len, payload))) + text, *payload]


def read_frame(connection: socket.socket) -> Frame | None:
    """Wait for the next frame; None when the other side has closed the connection."""
    head = _read(connection, HEAD.size)
    if head is None:
        return None
    text_size, payload_size = _sizes(head)
    text, payload = _read(connection, text_size), _read(connection, payload_size)
    if text is None or payload is None:
        return None
    return json.loads(text), payload


def _read(connection: socket.socket, size: int) -> bytes | None:
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20), socket.MSG_WAITALL)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _sizes(head: Buffer) -> tuple[int, int]:
    text_size, payload_size = HEAD.unpack_from(head)
    if text_size > MOST_MESSAGE or payload_size > MOST_PAYLOAD:
        raise FrameError(f"a frame of {text_size:,} and {payload_size:,} bytes")
    return text_size, payload_size


class FrameReader:
    """Assembles frames from data that arrives in pieces."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: Buffer) -> Iterator[Frame]:
        """Yield the frames that `data` completes."""
        pending = self._pending
        if not pending and len(data) >= HEAD.size:  # most frames arrive whole and one at a time
            text_size, payload_size = _sizes(data)
            text_end = HEAD.size + text_size
            if len(data) == text_end + payload_size:
                yield json.loads(bytes(data[HEAD.size : text_end])), bytes(data[text_end:])
                return
        pending += data
        while len(pending) >= HEAD.size:
            text_size, payload_size = _sizes(pending)
            text_end = HEAD.size + text_size
            end = text_end + payload_size
            if len(pending) < end:
                return
            message = json.loads(bytes(pending[HEAD.size : text_end]))
            payload = bytes(memoryview(pending)[text_end:end])
            del pending[:end]
            yield message, payload
