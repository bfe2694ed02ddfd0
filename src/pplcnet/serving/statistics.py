"""Counts and times of the answers, for each version of each model."""

from __future__ import annotations

from typing import Any

from pplcnet.serving.jobs import PhotoAnswer

__all__ = ["Statistics"]

STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


class Statistics:
    """Counts and nanoseconds, in the form of the protocol's statistics extension."""

    def __init__(self) -> None:
        self.photos = 0
        self.requests = 0
        self.last_inference_ms = 0
        self._times = {name: [0, 0] for name in ("success", "fail", "cancel", *STAGES)}

    def count_photo(self, answer: PhotoAnswer) -> None:
        """Count a photo that was answered."""
        self.photos += 1
        stages = (answer.queue_ns, answer.decode_ns, answer.network_ns, answer.output_ns)
        for name, taken in zip(STAGES, stages, strict=True):
            self._add(name, taken)

    def count_request(self, result: str, taken_ns: int, now_ms: int) -> None:
        """Count a request that ended: "success", "fail", or "cancel" if the client went away."""
        self.requests += 1
        self.last_inference_ms = now_ms
        self._add(result, taken_ns)

    def _add(self, name: str, taken_ns: int) -> None:
        times = self._times[name]
        times[0] += 1
        times[1] += taken_ns

    def count_of(self, name: str) -> int:
        """The number of requests that ended in "success", "fail" or "cancel"."""
        return self._times[name][0]

    def ns_of(self, name: str) -> int:
        """Total nanoseconds of those requests, or of a stage."""
        return self._times[name][1]

    def to_dict(self, name: str, version: str) -> dict[str, Any]:
        """An entry of `model_stats`."""
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": self.photos,
            "execution_count": self.photos,
            "inference_stats": {
                key: {"count": count, "ns": taken} for key, (count, taken) in self._times.items()
            },
            "batch_stats": [],
        }
