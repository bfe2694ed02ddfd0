"""Decodes a detector's boxes and scores to the objects of one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import printable
from pplcnet.imaging.geometry import Geometry
from pplcnet.system.arguments import check_count, check_number
from pplcnet.system.notebook import bars, facts_table
from pplcnet.system.wording import counted
from pplcnet.tasks.detection.merging import merge_found
from pplcnet.tasks.detection.suppression import (
    IOU_THRESHOLD,
    MOST,
    SCORE_THRESHOLD,
    FoundBoxes,
    suppress,
)
from pplcnet.tasks.task import Outputs, Prediction

if TYPE_CHECKING:
    from PIL import Image

    from pplcnet.imaging.decoding import ImageSource
    from pplcnet.imaging.windows import Window

__all__ = ["Detections", "confidence_of", "decoder", "suppression_of"]

CONFIDENCE = 0.4
"""The threshold for showing a box, unless calibration has chosen another."""
SHOWN = 5
NO_BOXES = FoundBoxes(np.empty((0, 4), np.float32), np.empty(0, np.intp), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True, repr=False)
class Detections(Prediction):
    """The objects that a detector found in one image, the most confident first.

    They are all the boxes that evaluation counts, down to low confidences; `above` keeps the
    confident ones. Names and conventions follow supervision's Detections.
    """

    _kept: FoundBoxes = field(default_factory=lambda: NO_BOXES)
    """In pixels of the image; empty where `error` is set."""
    classes: Sequence[str] = ()
    """The bundle's classes."""
    threshold: float = CONFIDENCE
    """The confidence from which a box counts as an answer."""
    most: int = MOST
    """Maximum number of boxes per image."""

    can_be_drawn: ClassVar[bool] = True
    can_be_tiled: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ("label", "confidence", "x1", "y1", "x2", "y2")

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self.error is not None:
            return f"<{kind} {self.source!r}: error: {printable(self.error.reason)}>"
        sure = self.above()
        shown = ", ".join(
            f"{label!r} {confidence:.3f}"
            for label, confidence in zip(
                sure.labels[:SHOWN], sure.confidence.tolist(), strict=False
            )
        )
        more = f", {len(sure) - SHOWN} more" if len(sure) > SHOWN else ""
        return f"<{kind} {self.source!r}: {shown or 'nothing sure'}{more}>"

    def _repr_html_(self) -> str:
        if self.error is not None:
            return facts_table(self.source, [("error", self.error.reason)])
        rows = list(zip(self.labels[:SHOWN], self.confidence.tolist(), strict=False))
        sure = len(self.above())
        return bars(
            self.source,
            rows,
            f"{counted(sure, 'object')} at a confidence of {self.threshold:.2f} or more",
        )

    def _boxes(self) -> FoundBoxes:
        if self.error is not None:
            raise self.error
        return self._kept

    def __len__(self) -> int:
        return len(self._boxes().confidence)

    def __iter__(self) -> Iterator[tuple[str, float, tuple[float, ...]]]:
        """Label, confidence and (x1, y1, x2, y2) of each object."""
        boxes = map(tuple, self.xyxy.tolist())
        return zip(self.labels, self.confidence.tolist(), boxes, strict=True)

    @property
    def xyxy(self) -> NDArray[np.float32]:
        """(D, 4): left, top, right, bottom, in pixels of the upright image, clipped to it."""
        return self._boxes().xyxy

    @property
    def class_id(self) -> NDArray[np.intp]:
        """(D,): indices into `classes`."""
        return self._boxes().class_id

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(D,): 0 to 1, in descending order."""
        return self._boxes().confidence

    @property
    def labels(self) -> tuple[str, ...]:
        """The class of each object."""
        return tuple(self.classes[at] for at in self.class_id)

    def above(self, confidence: float | None = None) -> Self:
        """The objects of at least this confidence; all of them then count as answers.

        Args:
            confidence: 0 to 1; None for the bundle's threshold.

        Raises:
            InputError: the confidence is not a number.
        """
        least = self.threshold if confidence is None else confidence
        check_number(least, "confidence")
        count = int(np.count_nonzero(self.confidence >= least))
        return replace(self._first(count), threshold=least)

    def answer(self, most: int | None = None) -> Self:
        """The `most` most confident objects; None for those that reach the bundle's threshold."""
        if most is None:
            return self.above()
        check_count(most, "most")
        return self._first(most)

    def _first(self, count: int) -> Self:
        boxes, classes, confidence = self._boxes()
        return replace(self, _kept=FoundBoxes(boxes[:count], classes[:count], confidence[:count]))

    def merged_with(
        self,
        parts: Sequence[Detections],
        windows: Sequence[Window],
        *,
        size: tuple[int, int],
        overlap: tuple[int, int],
        iou_threshold: float = IOU_THRESHOLD,
    ) -> Self:
        """The objects of the whole image and its parts as one answer; see `merge_found`."""
        found = [each._boxes() for each in parts]
        merged = merge_found(
            self._boxes(), found, windows, size, overlap, iou_threshold=iou_threshold
        )
        return replace(self, _kept=merged, most=self.most * (1 + len(parts)))

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """Label, confidence (six digits) and box (pixels, two digits) of each of `answer`."""
        return [
            {
                "label": label,
                "confidence": round(confidence, 6),
                **dict(zip(self.columns[2:], (round(each, 2) for each in box), strict=True)),
            }
            for label, confidence, box in self.answer(most)
        ]

    def to_text(self, most: int | None = None) -> str:
        """Labels with confidence and box."""
        found = [
            f"{label} {confidence:.3f} [{', '.join(f'{each:.0f}' for each in box)}]"
            for label, confidence, box in self.answer(most)
        ]
        return "  ".join(found) or "no object"

    def draw(self, photo: ImageSource | None = None) -> Image.Image:
        """The upright photo with the boxes that count as answers, the most confident on top.

        Args:
            photo: the predicted image; None if `source` is its path.

        Raises:
            ImageError: the photo cannot be used.
        """
        from pplcnet.tasks.detection.drawing import draw_boxes

        sure = self.above()
        lines = [
            (f"{label} {confidence:.2f}", at, box)
            for at, (label, confidence, box) in zip(sure.class_id.tolist(), sure, strict=True)
        ]
        return draw_boxes(self.photo(photo), reversed(lines))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """ "xyxy" (most, 4) and "confidence" (most,) float32, "class_id" (most,) int64, "labels"
        (most,) str, padded with 0, 0, -1 and ""; and "count" (1,) int32, the number of objects."""
        count, free = len(self), self.most - len(self)
        return {
            "xyxy": np.pad(self.xyxy, [(0, free), (0, 0)]),
            "confidence": np.pad(self.confidence, (0, free)),
            "class_id": np.pad(self.class_id.astype(np.int64), (0, free), constant_values=-1),
            "labels": np.array([*self.labels, *[""] * free], np.str_),
            "count": np.array([count], np.int32),
        }


@dataclass(frozen=True, slots=True)
class BoxDecoder:
    """Decodes the outputs "boxes" and "scores"."""

    classes: tuple[str, ...]
    threshold: float
    score_threshold: float
    iou_threshold: float
    most: int

    def __call__(self, outputs: Outputs, geometry: Geometry, source: str) -> Detections:
        """The objects of one image, from boxes (cells, 4) and scores (cells, classes)."""
        kept = suppress(
            outputs["boxes"],
            outputs["scores"],
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            most=self.most,
        )
        boxes = geometry.boxes_back(kept.xyxy)
        # A box that lies wholly in the padding has no area in the image.
        seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        kept = FoundBoxes(boxes[seen], kept.class_id[seen], kept.confidence[seen])
        return Detections(source, None, kept, self.classes, self.threshold, self.most)


def decoder(manifest: Manifest) -> BoxDecoder:
    """The decoder for a manifest's classes, thresholds and confidence."""
    return BoxDecoder(manifest.classes, confidence_of(manifest), **suppression_of(manifest))


def confidence_of(manifest: Manifest) -> float:
    """The confidence from which a box is shown."""
    return float(manifest.decoding.get("confidence", CONFIDENCE))


def suppression_of(manifest: Manifest) -> dict[str, Any]:
    """The arguments of `suppress` that a manifest sets."""
    decoding = manifest.decoding
    return {
        "score_threshold": float(decoding.get("score_threshold", SCORE_THRESHOLD)),
        "iou_threshold": float(decoding.get("iou_threshold", IOU_THRESHOLD)),
        "most": min(MOST, max(1, int(decoding.get("most", MOST)))),
    }
