"""The server in any protocol: checks requests, spreads them over workers, joins the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

from pplcnet.serving.caller import Caller, counted
from pplcnet.serving.frames import Buffer
from pplcnet.serving.inference import (
    PIXELS,
    check_number,
    describe_tensors,
    join_outputs,
    photos_of,
    wanted_outputs,
)
from pplcnet.serving.jobs import Job, PhotoAnswer
from pplcnet.serving.metrics import Metrics
from pplcnet.serving.models import Models
from pplcnet.serving.pool import Pool
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.served import READY, Served
from pplcnet.serving.settings import Settings
from pplcnet.serving.tensors import CLASSIFICATION, InferenceAnswer, InferenceRequest
from pplcnet.serving.workers import Workers

__all__ = ["Classified", "Service"]

PLATFORM = "pplcnet"
EXTENSIONS = ["binary_tensor_data", CLASSIFICATION, "model_repository", "statistics"]


class Classified(NamedTuple):
    """The answer for each photo of a request, in order; a Refusal for an unusable photo."""

    served: Served
    answers: list[PhotoAnswer | Refusal]


class Service:
    """The server without its protocols."""

    def __init__(
        self,
        settings: Settings,
        workers: Workers,
        pool: Pool,
        *,
        models: Models,
        galleries: Models,
        metrics: Metrics,
    ) -> None:
        """None of the arguments needs to be ready yet."""
        self._settings, self._workers = settings, workers
        self._pool, self._metrics = pool, metrics
        self.models, self.galleries = models, galleries
        self.is_stopping = False

    @property
    def is_ready(self) -> bool:
        """Whether everything served has a worker that answers, and the server is not stopping."""
        are_ready = self.models.are_ready() and self.galleries.are_ready()
        return not self.is_stopping and self._workers.alive > 0 and are_ready

    def check_room(self) -> None:
        """Refusal 503 if a request cannot be accepted; called before its body is read."""
        self._pool.check_room(1)

    def describe(self) -> dict[str, Any]:
        """The server's metadata."""
        return {
            "name": "pplcnet",
            "version": metadata.version("pplcnet"),
            "extensions": EXTENSIONS,
        }

    def describe_model(self, name: str, version: str = "") -> dict[str, Any]:
        """A model's metadata; Refusal as in `Models.find`."""
        served = self.models.find(name, version)
        facts = served.facts
        return {
            "name": served.name,
            "versions": self.models.versions(served.name),
            "platform": PLATFORM,
            **describe_tensors(served),
            "parameters": {
                **{key: facts[key] for key in ("task", "network", "engine", "precision")},
                **facts["answer_facts"],
                "digest": facts["digest"],
                "version": served.version,
                "classes": served.classes,
            },
        }

    def is_model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model answers; Refusal 404 for an unknown one."""
        try:
            self.models.find(name, version)
        except Refusal as refusal:
            if refusal.status == 404:
                raise
            return False
        return self._workers.alive > 0 and not self.is_stopping

    def statistics(self, name: str | None = None, version: str = "") -> dict[str, Any]:
        """Counts and times of one model, or of all; Refusal 404 for an unknown one."""
        found = [
            (key, each)
            for key, each in sorted(self.models.statistics.items())
            if name in (None, key[0]) and version in ("", key[1])
        ]
        if name is not None and not found:
            self.models.find(name, version)
        return {"model_stats": [each.to_dict(*key) for key, each in found]}

    def index(self, *, only_ready: bool = False) -> list[dict[str, str]]:
        """Every version of every model, with its state and the reason for it."""
        return [
            {
                "name": each.name,
                "version": each.version,
                "state": each.state,
                "reason": each.reason,
            }
            for each in self.models.entries()
            if each.state == READY or not only_ready
        ]

    def check_control(self) -> None:
        """Refusal 403 unless requests may load and unload models."""
        if not self._settings.allows_control:
            raise Refusal(
                403, "this server does not load models on request; --allow-control permits it."
            )

    async def infer(self, request: InferenceRequest, caller: Caller) -> InferenceAnswer:
        """Answer a request of the Open Inference Protocol.

        Raises:
            Refusal: what is wrong with it, or why it cannot be answered.
        """
        with counted(self.models.find(request.model, request.version), caller) as served:
            name, photos = photos_of(request.inputs, served, self._settings.max_photos)
            message = {
                "do": "answer",
                "serial": served.serial,
                "is_pixels": name == PIXELS,
                "names": wanted_outputs(request.outputs, served),
                "most": None,
            }
            jobs = [Job(message, each) for each in photos]
            answers = await self.answer(jobs, caller, is_whole=True)
            arrays = [each.arrays for each in answers if isinstance(each, PhotoAnswer)]
            outputs = join_outputs(request, served, arrays)
            return InferenceAnswer(served.name, served.version, request.id, outputs)

    async def classify(
        self, served: Served, photos: Sequence[Buffer], most: int | None, caller: Caller
    ) -> Classified:
        """Answer with rows, as `pplcnet predict` prints them.

        Args:
            most: rows per photo; None for the task's own number.

        Raises:
            Refusal: none can be answered; if only one of several photos fails, it is in the result.
        """
        message = {"do": "answer", "is_pixels": False, "names": (), "most": most or 0}
        return await self._each(served, message, photos, caller)

    async def search(
        self,
        gallery: Served,
        photos: Sequence[Buffer],
        most: int,
        threshold: float | None,
        caller: Caller,
    ) -> Classified:
        """Answer with the most similar photos in a gallery, and the class or none.

        Args:
            most: largest number of the gallery's photos, for each photo.
            threshold: used instead of the gallery's own.

        Raises:
            Refusal: as `classify`.
        """
        message = {"do": "search", "most": most, "threshold": threshold}
        return await self._each(gallery, message, photos, caller)

    async def _each(
        self, served: Served, message: dict[str, Any], photos: Sequence[Buffer], caller: Caller
    ) -> Classified:
        with counted(served, caller):
            check_number(len(photos), self._settings.max_photos)
            message = {**message, "serial": served.serial}
            jobs = [Job(message, each) for each in photos]
            return Classified(served, await self.answer(jobs, caller, is_whole=len(jobs) == 1))

    async def answer(
        self, jobs: Sequence[Job], caller: Caller, *, is_whole: bool
    ) -> list[PhotoAnswer | Refusal]:
        """Answer the jobs, in order, before the deadline.

        Args:
            is_whole: an unusable photo fails the whole request, with its number in the message.

        Raises:
            Refusal: none can be answered.
        """
        caller.photos = len(jobs)
        timeout = self._settings.timeout
        if caller.timeout is not None:
            timeout = min(timeout, caller.timeout)
        left = timeout - (time.monotonic() - caller.received_at)
        self._pool.submit(jobs)

        def give_up() -> None:
            self._give_up(jobs, Refusal(504, f"there was no result within {timeout:g} s."))

        timer = asyncio.get_running_loop().call_later(left, give_up)
        caller._give_up = lambda: self._give_up(jobs, None)
        if caller.is_gone:
            caller.leave()
        answers: list[PhotoAnswer | Refusal] = []
        try:
            for number, job in enumerate(jobs, start=1):
                try:
                    answer = await job.future
                except Refusal as refusal:
                    if is_whole or refusal.status not in (422, 500):
                        raise _numbered(refusal, number, len(jobs)) from None
                    answers.append(refusal)
                    continue
                answers.append(answer)
                if not job.is_idle:
                    self._count(answer, caller)
        finally:
            timer.cancel()
            self._give_up(jobs, None)
        return answers

    def _count(self, answer: PhotoAnswer, caller: Caller) -> None:
        caller.queue_ns = max(caller.queue_ns, answer.queue_ns)
        caller.work_ns += answer.decode_ns + answer.network_ns + answer.output_ns
        self._metrics.count_photo(answer)
        if caller.served is not None:
            caller.served.statistics.count_photo(answer)

    def _give_up(self, jobs: Sequence[Job], reason: Refusal | None) -> None:
        for job in jobs:
            self._pool.give_up(job, reason)
            if not job.future.cancelled():
                job.future.exception()  # asyncio complains if an exception is never retrieved


def _numbered(refusal: Refusal, number: int, photos: int) -> Refusal:
    """A photo's refusal; includes the photo's number if there are several."""
    if refusal.status not in (422, 500):
        return refusal
    which = f"photo {number} of {photos}" if photos > 1 else "the photo"
    return Refusal(refusal.status, f"{which}: {refusal.summary}")
