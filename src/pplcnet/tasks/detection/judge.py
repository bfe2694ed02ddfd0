"""Images with boxes as a measure of a detector's outputs: average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

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

__all__ = ["BoxJudge", "judge"]


@dataclass(frozen=True)
class BoxJudge:
    """A `Judge` of images with boxes."""

    truth: tuple[Boxes, ...]
    """In pixels of the images."""
    geometries: tuple[Geometry, ...]
    """From each image to the network's input."""
    classes: int
    confidence: float
    """From which on a box is shown."""
    suppression: Mapping[str, Any]
    """Arguments for `suppress`."""

    def value(self, outputs: Outputs) -> float:
        """AP at IoU 0.5 to 0.95; NaN when an output is NaN, 0 if no image has a box."""
        if any(np.isnan(each).any() for each in outputs.values()):
            return float("nan")
        return self.matches(outputs).average_precision() or 0.0

    def matches(self, outputs: Outputs) -> BoxMatches:
        """What was found in the images, matched with what is there; sizes are not told apart."""
        return match_boxes(self.truth, self._found(outputs), self.classes, ("all",))

    def loss(self, outputs: Outputs) -> float:
        """The mean over the boxes of 1 less the best product of IoU and score of any cell."""
        losses = [np.empty(0)]
        for at, (boxes, geometry) in enumerate(zip(self.truth, self.geometries, strict=True)):
            true = boxes.chosen(~boxes.is_crowd)
            shared = overlaps(true.xyxy, geometry.boxes_back(outputs["boxes"][at]))
            losses.append(1 - (shared * outputs["scores"][at].T[true.classes]).max(axis=1))
        every = np.concatenate(losses)
        return float(every.mean()) if len(every) else 0.0

    def drop(self, outputs: Outputs, reference: Outputs) -> Drop:
        """The larger of two: the ranking can hold (AP) while what is shown does not."""
        ranked = Drop(self.value(reference) - self.value(outputs), "AP")
        if np.isnan(ranked.amount):
            return ranked
        shown = float(np.mean(self.each(reference)) - np.mean(self.each(outputs)))
        return max(ranked, Drop(shown, "the F1 of the boxes that are shown"))

    def agreement(self, outputs: Outputs, reference: Outputs) -> float:
        """The share of the images on which the same boxes are shown."""
        one, other = (
            [shown_from(each, self.confidence) for each in self._suppressed(given)]
            for given in (outputs, reference)
        )
        return share_of_same(one, other)

    def each(self, outputs: Outputs) -> list[float]:
        """F1 of the boxes that are shown on every image, at an IoU of 0.5."""
        return [
            pair_boxes(boxes, shown_from(found, self.confidence)).f1
            for boxes, found in zip(self.truth, self._found(outputs), strict=True)
        ]

    def of_some(self, chosen: Sequence[int]) -> Self:
        """The same for some of the images, by their places."""
        truth = tuple(self.truth[at] for at in chosen)
        geometries = tuple(self.geometries[at] for at in chosen)
        return type(self)(truth, geometries, self.classes, self.confidence, self.suppression)

    def _found(self, outputs: Outputs) -> list[FoundBoxes]:
        """In pixels of the images, clipped to them."""
        return [
            FoundBoxes(geometry.boxes_back(each.xyxy), each.class_id, each.confidence)
            for geometry, each in zip(self.geometries, self._suppressed(outputs), strict=True)
        ]

    def _suppressed(self, outputs: Outputs) -> list[FoundBoxes]:
        """In pixels of the input."""
        boxes: NDArray[np.float32] = outputs["boxes"]
        return [
            suppress(own, scores, **self.suppression)
            for own, scores in zip(boxes, outputs["scores"], strict=True)
        ]


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> BoxJudge:
    """For images with the manifest's classes."""
    truth = tuple(cast(Boxes, image.annotation) for image in images)
    preprocessing = manifest.preprocessing
    return BoxJudge(
        truth,
        # An image of unknown size is one in the input's own pixels.
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
