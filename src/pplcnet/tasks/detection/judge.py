"""Scores a detector's outputs against images with boxes: average precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import LabelledImage
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks.detection.decoding import confidence_of, suppression_of
from pplcnet.tasks.detection.matching import BoxMatches, match_boxes
from pplcnet.tasks.detection.pairing import pair_boxes, share_of_same, shown_from
from pplcnet.tasks.detection.suppression import FoundBoxes, overlaps, suppress
from pplcnet.tasks.task import Drop, Outputs

__all__ = ["BoxJudge", "JudgedBoxes", "judge"]

NEAR = np.linspace(-0.1, 0.1, 5)
"""Offsets to nearby confidences. With bfloat16, F1 at the confidence of a detector for BCCD falls
by 0.0096 on the validation photos, which it was chosen on, and by 0.0011 on the test photos; the
mean over these confidences falls by 0.0011 and 0.0013."""


class _Kept(NamedTuple):
    """What is kept of the outputs for one image."""

    found: FoundBoxes
    """In pixels of the input."""
    losses: NDArray[np.float64]
    """(B,), for the true boxes."""
    is_nan: bool


@dataclass(frozen=True)
class JudgedBoxes:
    """A `Judged` of images with boxes."""

    judge: BoxJudge
    kept: Sequence[_Kept]

    @cached_property
    def value(self) -> float:
        """AP at IoU 0.5 to 0.95; NaN when an output is NaN, 0 if no image has a box."""
        if any(each.is_nan for each in self.kept):
            return float("nan")
        return self.matches.average_precision() or 0.0

    @cached_property
    def matches(self) -> BoxMatches:
        """The detected boxes matched with the true ones; sizes are not told apart."""
        return match_boxes(self.judge.truth, self.found, self.judge.classes, ("all",))

    @property
    def loss(self) -> float:
        """The mean over boxes of 1 minus the best product of IoU and score among the cells."""
        every = np.concatenate([np.empty(0), *(each.losses for each in self.kept)])
        return float(every.mean()) if len(every) else 0.0

    @cached_property
    def each(self) -> list[float]:
        """F1 of the boxes shown on each image, at an IoU of 0.5.

        It is averaged over confidences around the display threshold. That threshold is the optimum
        for float32 on these same images, so at it alone, any change would count as a loss.
        """
        confidences = self.judge.confidence + NEAR
        return [
            float(np.mean([pair_boxes(boxes, shown_from(found, at)).f1 for at in confidences]))
            for boxes, found in zip(self.judge.truth, self.found, strict=True)
        ]

    def drop(self, reference: Self) -> Drop:
        """The larger of two drops: AP can hold while the shown boxes get worse."""
        ranked = Drop(reference.value - self.value, "AP")
        if np.isnan(ranked.amount):
            return ranked
        shown = float(np.mean(reference.each) - np.mean(self.each))
        return max(ranked, Drop(shown, "the F1 of the boxes that are shown"))

    def agreement(self, other: Self) -> float:
        """The share of the images on which the same boxes are shown."""
        one, others = (
            [shown_from(each.found, self.judge.confidence) for each in judged.kept]
            for judged in (self, other)
        )
        return share_of_same(one, others)

    @cached_property
    def found(self) -> list[FoundBoxes]:
        """The detected boxes in pixels of the images, clipped to them."""
        return [
            FoundBoxes(geometry.boxes_back(found.xyxy), found.class_id, found.confidence)
            for geometry, (found, _, _) in zip(self.judge.geometries, self.kept, strict=True)
        ]


@dataclass(frozen=True)
class BoxJudge:
    """A `Judge` of images with boxes."""

    truth: tuple[Boxes, ...]
    """In pixels of the images."""
    geometries: tuple[Geometry, ...]
    """Maps each image to the network's input."""
    classes: int
    confidence: float
    """The confidence from which a box is shown."""
    suppression: Mapping[str, Any]
    """Arguments for `suppress`."""

    def judged(self, outputs: Iterable[Outputs]) -> JudgedBoxes:
        """Score the boxes and scores of every cell; at most 100 boxes per image are kept."""
        kept: list[_Kept] = []
        for some in outputs:
            for boxes, scores in zip(some["boxes"], some["scores"], strict=True):
                kept.append(
                    _Kept(
                        suppress(boxes, scores, **self.suppression),
                        self._losses(len(kept), boxes, scores),
                        bool(np.isnan(boxes).any() or np.isnan(scores).any()),
                    )
                )
        return JudgedBoxes(self, kept)

    def _losses(
        self, at: int, boxes: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        if not self.truth:
            return np.empty(0)
        true = self.truth[at].chosen(~self.truth[at].is_crowd)
        shared = overlaps(true.xyxy, self.geometries[at].boxes_back(boxes))
        losses: NDArray[np.float64] = 1 - (shared * scores.T[true.classes]).max(axis=1)
        return losses

    def of_some(self, chosen: Sequence[int]) -> Self:
        """A judge of some of the images, given by index."""
        truth = tuple(self.truth[at] for at in chosen)
        geometries = tuple(self.geometries[at] for at in chosen)
        return type(self)(truth, geometries, self.classes, self.confidence, self.suppression)


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> BoxJudge:
    """The judge of images that are labelled with the manifest's classes."""
    truth = tuple(cast(Boxes, image.annotation) for image in images)
    preprocessing = manifest.preprocessing
    return BoxJudge(
        truth,
        # An image of unknown size counts as given in the input's own pixels.
        tuple(
            preprocessing.geometry_of(each.size)
            if all(each.size)
            else Geometry(preprocessing.image_size[::-1])
            for each in truth
        ),
        len(manifest.classes),
        confidence_of(manifest),
        suppression_of(manifest),
    )
