"""Explains the answer for a photo with an occlusion map, computed while workers are idle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pplcnet.serving.caller import Caller, counted
from pplcnet.serving.frames import Buffer
from pplcnet.serving.jobs import Job, PhotoAnswer
from pplcnet.serving.occlusion import GRID
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.served import Served
from pplcnet.serving.service import Service

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """How much the evidence for a class drops when part of the photo is covered."""

    label: str
    evidence: float
    """Log-odds of the class for the whole photo."""
    drops: NDArray[np.float64]
    """(GRID, GRID): the drop with that cell covered; negative if the log-odds rise."""
    region: list[float]
    """Where the grid lies in the photo: left, top, right, bottom, as fractions of its sides."""
    decode_ns: int
    network_ns: int
    """Total of all runs."""


async def explain(
    service: Service, served: Served, photo: Buffer, label: str | None, caller: Caller
) -> Explanation:
    """Run the network once on the photo and once for each cell of the grid.

    Args:
        label: the class to explain; None for the one with the most evidence.

    Raises:
        Refusal: 400 for an unknown class, or a model without a score per class; otherwise as
            `Service.answer`.
    """
    if label is not None and label not in served.classes:
        raise Refusal(400, f"no class {label[:128]!r}; GET /v2/models/{served.name} lists them.")
    with counted(served, caller):
        ask = {"do": "prepare", "serial": served.serial}
        (whole,) = await _answers(service, [Job(ask, photo, is_idle=True)], caller)
        if "evidence" not in whole.arrays:
            raise Refusal(400, f"{served.name} has no score for each class to explain.")
        evidence = whole.arrays["evidence"]
        index = int(evidence.argmax()) if label is None else served.classes.index(label)
        pixels = whole.arrays["pixels"].data.cast("B")
        places = [[row, column] for row in range(GRID) for column in range(GRID)]
        jobs = [
            Job({"do": "occlude", "serial": served.serial, "place": each}, pixels, is_idle=True)
            for each in places
        ]
        covered = await _answers(service, jobs, caller)
    caller.photos = 1
    left = np.array([each.arrays["evidence"][index] for each in covered]).reshape(GRID, GRID)
    return Explanation(
        served.classes[index],
        float(evidence[index]),
        evidence[index] - left,
        whole.arrays["region"].tolist(),
        whole.decode_ns,
        sum(each.network_ns for each in (whole, *covered)),
    )


async def _answers(service: Service, jobs: list[Job], caller: Caller) -> list[PhotoAnswer]:
    found: list[PhotoAnswer] = []
    for each in await service.answer(jobs, caller, is_whole=False):
        if isinstance(each, Refusal):
            raise Refusal(each.status, f"the photo: {each.summary}")
        found.append(each)
    return found
