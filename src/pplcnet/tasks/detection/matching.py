"""Matches detected boxes with true ones by COCO's rules; pycocotools does the work.

A detected box matches the true box of its class that it overlaps most, the most confident first, if
their IoU reaches a threshold; average precision is the mean over thresholds of 0.5 to 0.95. Crowd
boxes, and for a size range the boxes outside it, count neither way. The area of a box is its width
times its height, whereas COCO's own files have that of the mask.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import Boxes
from pplcnet.errors import require
from pplcnet.metrics.intervals import Interval
from pplcnet.tasks.detection.suppression import FoundBoxes

__all__ = ["AREAS", "IOUS", "RECALLS", "Best", "BoxMatches", "match_boxes"]

IOUS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
"""COCO's area ranges, in pixels of the photo."""
MOST_FOUND = 100
"""The maximum number of boxes of an image that count, the most confident first."""
RECALLS = np.linspace(0, 1, 101)
LEAST_IMAGES = 30
RESAMPLES = 1000
# Numbers that a bootstrap may look at; beyond that, it takes fewer resamples.
BOOTSTRAP_NUMBERS = 3e8
FEWEST_RESAMPLES = 100


class ClassMatches(NamedTuple):
    """The D detected boxes of one class on all images, the most confident first."""

    confidence: NDArray[np.float64]
    """(D,)."""
    image: NDArray[np.intp]
    """(D,): the index of each box's image."""
    is_match: NDArray[np.bool_]
    """(T, D): whether the box matches, by IoU threshold."""
    is_ignored: NDArray[np.bool_]
    """(T, D): whether the box counts neither way."""
    true: NDArray[np.intp]
    """(N,): the number of true boxes of the class on each image."""


class Best(NamedTuple):
    """The best F1, and the confidence threshold that reaches it."""

    threshold: float
    f1: float


@dataclass(frozen=True)
class BoxMatches:
    """The result of `match_boxes`; a figure that is undefined for lack of true boxes is None."""

    by_class: tuple[ClassMatches, ...]
    precision: NDArray[np.float64]
    """(T, R, K, A): at each IoU, recall, class and area range; -1 where there is no true box."""
    recall: NDArray[np.float64]
    """(T, K, A): over all detected boxes."""
    areas: tuple[str, ...]
    images: int

    def average_precision(
        self, *, iou: float | None = None, area: str = "all", label: int | None = None
    ) -> float | None:
        """AP: the mean over classes (or of one) and IoU thresholds (or at one)."""
        places = slice(None) if label is None else [label]
        chosen = self.precision[self._at(iou)][:, :, places, self.areas.index(area)]
        return _mean(chosen)

    def average_recall(
        self, *, iou: float | None = None, area: str = "all", label: int | None = None
    ) -> float | None:
        """AR: the share of the true boxes that were found, whatever their confidence."""
        places = slice(None) if label is None else [label]
        return _mean(self.recall[self._at(iou)][:, places, self.areas.index(area)])

    def best_threshold(self, label: int | None = None) -> Best | None:
        """The confidence with the best F1 at an IoU of 0.5, for one class or over all together.

        None if it has no true box, or none of them was found.
        """
        chosen = self.by_class if label is None else (self.by_class[label],)
        true = sum(int(each.true.sum()) for each in chosen)
        counted = [~each.is_ignored[0] for each in chosen]
        confidence = np.concatenate(
            [each.confidence[rows] for each, rows in zip(chosen, counted, strict=True)]
        )
        right = np.concatenate(
            [each.is_match[0, rows] for each, rows in zip(chosen, counted, strict=True)]
        )
        if not true or not right.any():
            return None
        order = np.argsort(-confidence, kind="stable")
        confidence, hits = confidence[order], np.cumsum(right[order])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + true)
        # Boxes of equal confidence are shown together.
        f1[:-1][confidence[1:] == confidence[:-1]] = -1
        at = int(np.argmax(f1))
        below = float(confidence[at + 1]) if at + 1 < len(confidence) else 0.0
        return Best((float(confidence[at]) + below) / 2, float(f1[at]))

    def _at(self, iou: float | None) -> slice | list[int]:
        return slice(None) if iou is None else [IOUS.index(iou)]

    def curve(self, label: int) -> NDArray[np.float64] | None:
        """(R,): precision at each of RECALLS, at an IoU of 0.5; None if there is no true box."""
        values: NDArray[np.float64] = self.precision[0, :, label, self.areas.index("all")]
        return None if (values < 0).any() else values

    @cached_property
    def interval(self) -> Interval | None:
        """A 95 % interval of the AP, by a bootstrap over images; None if there are too few.

        Repeated images bias the AP of resamples about as much as the AP itself is biased, so the
        difference of the means is subtracted (Efron and Tibshirani 1993, "An Introduction to the
        Bootstrap", 10.3). The interval contains the AP.
        """
        own = self.average_precision()
        if own is None or self.images < LEAST_IMAGES:
            return None
        numbers = sum(each.is_match.size for each in self.by_class)
        resamples = int(min(RESAMPLES, max(FEWEST_RESAMPLES, BOOTSTRAP_NUMBERS // max(1, numbers))))
        generator = np.random.default_rng(0)
        share = np.full(self.images, 1 / self.images)
        drawn = [
            self.resampled(generator.multinomial(self.images, share)) for _ in range(resamples)
        ]
        values = np.array([each for each in drawn if each is not None])
        if not len(values):
            return None
        low, high = np.percentile(values, [2.5, 97.5]) - (values.mean() - own)
        return Interval(max(0.0, min(own, float(low))), min(1.0, max(own, float(high))))

    def resampled(self, times: NDArray[np.integer]) -> float | None:
        """AP when image i is drawn `times[i]` times, `times` (N,); None without a true box.

        With every image drawn once, it equals `average_precision()`.
        """
        values = []
        for each in self.by_class:
            true = int((each.true * times).sum())
            if not true:
                continue
            weights = times[each.image]
            right = np.cumsum(np.where(each.is_match & ~each.is_ignored, weights, 0), axis=1)
            wrong = np.cumsum(np.where(~each.is_match & ~each.is_ignored, weights, 0), axis=1)
            values.append(np.mean([_ap(*rows, true) for rows in zip(right, wrong, strict=True)]))
        return float(np.mean(values)) if values else None


def match_boxes(
    truth: Sequence[Boxes],
    found: Sequence[FoundBoxes],
    classes: int,
    areas: Sequence[str] = tuple(AREAS),
) -> BoxMatches:
    """Match the detected boxes of each image with the true ones.

    Args:
        truth: for each of N images; classes are indices from 0 to `classes` - 1.
        areas: names from AREAS, "all" among them.

    Raises:
        MissingDependencyError: pycocotools is not installed.
    """
    require("pycocotools", purpose="evaluating boxes", extra="report")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    true_boxes: list[dict[str, Any]] = []
    for at, boxes in enumerate(truth):
        true_boxes += _entries(at, boxes.xyxy, boxes.classes, iscrowd=boxes.is_crowd)
    found_boxes: list[dict[str, Any]] = []
    for at, each in enumerate(found):
        found_boxes += _entries(at, each.xyxy, each.class_id, score=each.confidence)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        sides = []
        for entries in (true_boxes, found_boxes):
            # Ids start at 1, since 0 means no match.
            numbered = [{**entry, "id": number} for number, entry in enumerate(entries, 1)]
            side = COCO()
            side.dataset = {
                "images": [{"id": at} for at in range(len(truth))],
                "categories": [{"id": label} for label in range(classes)],
                "annotations": numbered,
            }
            side.createIndex()
            sides.append(side)
        evaluator = COCOeval(*sides, "bbox")
        evaluator.params.imgIds = list(range(len(truth)))
        evaluator.params.catIds = list(range(classes))
        evaluator.params.iouThrs = np.array(IOUS)
        evaluator.params.recThrs = RECALLS
        evaluator.params.maxDets = [MOST_FOUND]
        evaluator.params.areaRng = [AREAS[area] for area in areas]
        evaluator.params.areaRngLbl = list(areas)
        evaluator.evaluate()
        evaluator.accumulate()
    # One result for each class, area range and image, nested in this order.
    results = np.empty(classes * len(areas) * len(truth), object)
    results[:] = evaluator.evalImgs
    all_areas = results.reshape(classes, len(areas), len(truth))[:, list(areas).index("all")]
    return BoxMatches(
        tuple(_of_class(each) for each in all_areas),
        np.asarray(evaluator.eval["precision"])[..., 0],
        np.asarray(evaluator.eval["recall"])[..., 0],
        tuple(areas),
        len(truth),
    )


def _entries(
    image: int, xyxy: NDArray[np.float32], labels: NDArray[np.intp], **others: NDArray[Any]
) -> list[dict[str, Any]]:
    """An image's boxes in the form that pycocotools takes."""
    corners = xyxy.astype(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    entries = []
    columns = {name: values.tolist() for name, values in others.items()}
    for at, (label, (left, top, _, _), (width, height)) in enumerate(
        zip(labels.tolist(), corners.tolist(), sides.tolist(), strict=True)
    ):
        entry = {
            "image_id": image,
            "category_id": label,
            "bbox": [left, top, width, height],
            "area": width * height,
            "iscrowd": 0,
        }
        entries.append(entry | {name: values[at] for name, values in columns.items()})
    return entries


def _of_class(results: NDArray[Any]) -> ClassMatches:
    """The results of one class, joined over all images; None stands for an image without any."""
    scores, images, matches, ignored = [np.empty(0)], [np.empty(0, np.intp)], [], []
    nothing = np.zeros((len(IOUS), 0), bool)
    true: NDArray[np.intp] = np.zeros(len(results), np.intp)
    for at, each in enumerate(results):
        if each is None:
            continue
        true[at] = int((np.asarray(each["gtIgnore"]) == 0).sum())
        scores.append(np.asarray(each["dtScores"], np.float64))
        images.append(np.full(len(each["dtScores"]), at, np.intp))
        matches.append(np.asarray(each["dtMatches"]) != 0)
        ignored.append(np.asarray(each["dtIgnore"]) != 0)
    confidence = np.concatenate(scores)
    order = np.argsort(-confidence, kind="stable")
    return ClassMatches(
        confidence[order],
        np.concatenate(images)[order],
        np.concatenate([nothing, *matches], axis=1)[:, order],
        np.concatenate([nothing, *ignored], axis=1)[:, order],
        true,
    )


def _ap(right: NDArray[np.integer], wrong: NDArray[np.integer], true: int) -> float:
    """AP of counts (D,), interpolated as in COCO: the best precision at this recall or higher."""
    if not len(right):
        return 0.0
    precision = right / np.maximum(right + wrong, np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / true, RECALLS, side="left")
    return float(np.append(best, 0.0)[places].mean())


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[values > -1]
    return float(defined.mean()) if len(defined) else None
