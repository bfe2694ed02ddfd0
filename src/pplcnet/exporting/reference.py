"""The reference for judging lower precisions and other engines: float32 on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import LabelledImage
from pplcnet.exporting.timing import prepare, run_in_parts
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.engines.engine import Engine, join_outputs
from pplcnet.tasks import find
from pplcnet.tasks.task import Judge, Judged, Measure, Outputs

__all__ = ["Compared", "Reference"]

KEPT_BYTES = 2**28
"""Limit on the outputs kept for comparison. It suffices for all images with every classifier, and
for every sixth of 2000 images with a detector of 80 classes at 320 pixels."""


TINY = float(np.finfo(np.float32).tiny)


class Compared(NamedTuple):
    """Other outputs compared with the reference."""

    judged: Judged
    relative_difference: float
    """The largest difference, relative to the largest value of its output; NaN if any value is."""


@dataclass(frozen=True)
class Reference:
    """Prepared validation images, and float32's outputs for them."""

    images: NDArray[np.uint8]
    """(N, height, width, 3)."""
    judge: Judge
    """Judges outputs by the images' labels."""
    judged: Judged
    """The verdict on float32's outputs."""
    kept: Outputs
    """Float32's outputs for every `step`th image."""
    step: int
    largest: Mapping[str, float]
    """The largest value of each of float32's outputs."""
    measure: Measure
    """The measure that `judged.value` is."""
    tolerance: float
    """How far float32 in another engine may differ (`Task.tolerance`)."""

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        preprocessing: Preprocessing,
        labelled: Sequence[LabelledImage],
        engine: Engine,
    ) -> Self:
        """Run the labelled images through the float32 network that `engine` has loaded."""
        images = prepare(preprocessing, [each.path for each in labelled])
        judge = find(manifest.task).judge(manifest, labelled)
        return cls.of_outputs(manifest.task, images, judge, run_in_parts(engine, images))

    @classmethod
    def of_outputs(
        cls, task: str, images: NDArray[np.uint8], judge: Judge, outputs: Iterable[Outputs]
    ) -> Self:
        """The reference from float32's outputs, which are given a few images at a time."""
        largest: dict[str, float] = {}
        kept: list[Outputs] = []
        step = 0

        def seen() -> Iterator[Outputs]:
            nonlocal step
            first = 0
            for some in outputs:
                count = len(next(iter(some.values())))
                if not step:
                    size = sum(each.nbytes for each in some.values()) * len(images) / count
                    step = max(1, int(np.ceil(size / KEPT_BYTES)))
                for name, each in some.items():
                    largest[name] = float(np.maximum(largest.get(name, TINY), np.abs(each).max()))
                kept.append(_each_step(some, first, step))
                first += count
                yield some

        judged = judge.judged(seen())
        found = find(task)
        return cls(
            images, judge, judged, join_outputs(kept), step, largest, found.measure, found.tolerance
        )

    def compare(self, outputs: Iterable[Outputs]) -> Compared:
        """Judge and compare other outputs for the same images, given a few images at a time."""
        differences = [0.0]

        def seen() -> Iterator[Outputs]:
            first = place = 0
            for some in outputs:
                chosen = _each_step(some, first, self.step)
                first += len(next(iter(some.values())))
                end = place + len(next(iter(chosen.values())))
                differences.extend(
                    float(np.abs(chosen[name] - each[place:end]).max(initial=0.0))
                    / self.largest[name]
                    for name, each in self.kept.items()
                )
                place = end
                yield some

        judged = self.judge.judged(seen())
        return Compared(judged, float(np.max(differences)))


def _each_step(outputs: Outputs, first: int, step: int) -> Outputs:
    """From the outputs of images `first` on, those whose image index is a multiple of `step`."""
    return {name: each[-first % step :: step].copy() for name, each in outputs.items()}
