"""Requests from photo_to_label.py to a pipeline in its own process, a JSON line each way.

Imports only numpy, so it runs beside any framework.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import numpy as np


class Pipeline:
    """A way from a photo's path to logits."""

    def prepare(self, photo: str) -> np.ndarray:
        """The network's input for a photo."""
        raise NotImplementedError

    def run(self, prepared: np.ndarray) -> np.ndarray:
        """The logits for a prepared photo."""
        raise NotImplementedError

    def label(self, photo: str) -> int:
        """The label of one photo, end to end."""
        return int(self.run(self.prepare(photo)).argmax())

    def labels(self, photos: list[str]) -> Iterator[int]:
        """Yield the labels of many photos; one after the other unless the pipeline overrides it."""
        return (self.label(photo) for photo in photos)


def serve(pipeline: Pipeline, first: list[str]) -> None:
    """Print the label of the photo in `first` and end, or answer requests until stdin ends."""
    if first:
        print(pipeline.label(first[0]), flush=True)
        return
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_answer(pipeline, **request)), flush=True)


def _answer(pipeline: Pipeline, what: str, photos: list[str], runs: int = 0) -> object:
    if what == "logits":
        return [pipeline.run(pipeline.prepare(photo)).tolist() for photo in photos]
    if what == "network":
        prepared = pipeline.prepare(photos[0])
        for _ in range(5):
            pipeline.run(prepared)
        return [_timed(lambda: pipeline.run(prepared)) for _ in range(runs)]
    if what == "photo":
        pipeline.label(photos[0])
        return [_timed(lambda photo=photo: pipeline.label(photo)) for photo in photos]
    if what == "folder":
        started = time.perf_counter()
        count = sum(1 for _ in pipeline.labels(photos))
        return count / (time.perf_counter() - started)
    raise ValueError(what)


def _timed(call) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000
