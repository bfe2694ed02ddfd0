"""A photo on its way to a worker, and the answer to it."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.serving.frames import Buffer
from pplcnet.serving.refusals import Refusal

__all__ = ["Job", "PhotoAnswer"]


class PhotoAnswer(NamedTuple):
    """A worker's answer for one photo."""

    arrays: dict[str, NDArray[Any]]
    rows: list[dict[str, Any]] | None
    facts: dict[str, Any]
    """About the photo as a whole, besides its rows."""
    queue_ns: int
    decode_ns: int
    network_ns: int
    output_ns: int


class Job:
    """A photo waiting for its answer, which is set on `future`."""

    __slots__ = ("deaths", "future", "is_idle", "is_waiting", "message", "payload", "queued_at",
                 "started_at")  # fmt: skip

    def __init__(self, message: dict[str, Any], payload: Buffer, *, is_idle: bool = False) -> None:
        """Create a job within the event loop; the message goes to the worker unchanged."""
        self.message, self.payload = message, payload
        self.is_idle = is_idle
        """Whether it waits until no other job does."""
        self.future: asyncio.Future[PhotoAnswer] = asyncio.get_running_loop().create_future()
        self.queued_at = self.started_at = 0.0
        """time.monotonic() of entering the queue, and of being given to a worker."""
        self.deaths = 0
        """Workers that died while processing it."""
        self.is_waiting = False
        """Whether it is in the queue."""

    def settle(self, message: dict[str, Any], payload: bytes) -> None:
        """Set the answer from a worker's reply."""
        self.payload = b""
        if self.future.done():
            return
        if "error" in message:
            self.future.set_exception(Refusal(message["status"], message["error"]))
            return
        queue_ns = round((self.started_at - self.queued_at) * 1e9)
        try:
            arrays = _unpack(message["arrays"], payload)
            answer = PhotoAnswer(
                arrays, message["rows"], message["facts"], queue_ns, *message["ns"]
            )
        except (KeyError, TypeError, ValueError):  # photos may have corrupted the worker
            self.future.set_exception(Refusal(500, "a worker's answer is damaged."))
        else:
            self.future.set_result(answer)


def _unpack(described: list[list[Any]], payload: bytes) -> dict[str, NDArray[Any]]:
    """The arrays in a worker's reply; texts are in the description, numbers in the payload."""
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for name, dtype, shape, texts in described:
        if texts is not None:
            arrays[name] = np.array(texts, dtype=np.str_).reshape(shape)
            continue
        values = np.frombuffer(payload, dtype, int(np.prod(shape, dtype=int)), at)
        arrays[name] = values.reshape(shape)
        at += values.nbytes
    return arrays
