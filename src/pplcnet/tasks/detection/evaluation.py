"""How good a detector is on images with boxes: figures and worst mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import DatasetError
from pplcnet.metrics.intervals import Interval
from pplcnet.metrics.ratios import ratios_of
from pplcnet.system.notebook import facts_table
from pplcnet.system.wording import counted, format_number
from pplcnet.tasks.detection.audit import misread_boxes
from pplcnet.tasks.detection.decoding import confidence_of
from pplcnet.tasks.detection.figures_text import evaluation_text
from pplcnet.tasks.detection.matching import RECALLS, BoxMatches, match_boxes
from pplcnet.tasks.detection.mistakes import BoxMistake, mistakes_on
from pplcnet.tasks.detection.pairing import Pairing, pair_boxes, shown_from
from pplcnet.tasks.detection.suppression import FoundBoxes
from pplcnet.tasks.task import Plot, Table

__all__ = ["BoxEvaluation", "BoxFigures", "Found", "evaluate", "found_in"]

# Chance reaches an AP below this.
LEAST_AP = 0.005


class Found(Protocol):
    """What evaluation needs from a prediction; boxes in pixels of the image."""

    @property
    def xyxy(self) -> NDArray[np.float32]: ...  # (D, 4)

    @property
    def class_id(self) -> NDArray[np.intp]: ...  # (D,)

    @property
    def confidence(self) -> NDArray[np.float32]: ...  # (D,)


class BoxFigures(NamedTuple):
    """One class's figures; an undefined one is None."""

    label: str
    boxes: int
    """Support: the number of true boxes."""
    images: int
    """The number of images with such a box."""
    average_precision: float | None
    """Mean over IoU thresholds from 0.5 to 0.95."""
    ap50: float | None
    best_threshold: float | None
    """The confidence with the best F1."""
    best_f1: float | None
    precision: float | None
    """Of the boxes that are shown, at an IoU of 0.5, as are recall and F1."""
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class BoxEvaluation:
    """The result of `pplcnet.evaluate` for images with boxes; an undefined figure is None."""

    classes: tuple[str, ...]
    confidence: float
    """The threshold from which a box is shown."""
    names: tuple[str, ...]
    """The names of the images."""
    truth: tuple[Boxes, ...]
    found: tuple[FoundBoxes, ...]
    """All boxes, shown or not."""

    def __repr__(self) -> str:
        return f"<BoxEvaluation {self.headline()} on {counted(self.images, 'image')}>"

    def _repr_html_(self) -> str:
        rows = [
            (name, "-" if value is None else value if isinstance(value, int) else f"{value:.4f}")
            for name, value in self.figures().items()
        ]
        return facts_table(counted(len(self.classes), "class"), rows)

    @property
    def images(self) -> int:
        """The number of evaluated images."""
        return len(self.truth)

    @cached_property
    def matches(self) -> BoxMatches:
        """The detected boxes matched with the true ones by COCO's rules."""
        return match_boxes(self.truth, self.found, len(self.classes))

    @cached_property
    def shown(self) -> tuple[FoundBoxes, ...]:
        """Each image's boxes that reach the confidence threshold."""
        return tuple(shown_from(each, self.confidence) for each in self.found)

    @cached_property
    def pairings(self) -> tuple[Pairing, ...]:
        """Which of the shown boxes are right, for each image."""
        return tuple(
            pair_boxes(boxes, shown) for boxes, shown in zip(self.truth, self.shown, strict=True)
        )

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the AP, by a bootstrap over images; None if there are too few."""
        return self.matches.interval

    @cached_property
    def confusion(self) -> NDArray[np.intp]:
        """(K + 1, K + 1): true class by shown class; the last row and column for none."""
        size = len(self.classes) + 1
        table: NDArray[np.intp] = np.zeros((size, size), np.intp)
        for boxes, shown, pairing in zip(self.truth, self.shown, self.pairings, strict=True):
            there = np.append(boxes.classes, size - 1)[pairing.partner]
            counted_in = ~pairing.is_ignored
            np.add.at(table, (there[counted_in], shown.class_id[counted_in]), 1)
            missed = boxes.classes[pairing.is_missed]
            np.add.at(table, (missed, np.full_like(missed, size - 1)), 1)
        return table

    @cached_property
    def _figures(self) -> list[BoxFigures]:
        images = np.zeros(len(self.classes), np.intp)
        for boxes in self.truth:
            images[list(boxes.shown)] += 1
        rows, right = self.confusion, np.diagonal(self.confusion)
        found = []
        for at, label in enumerate(self.classes):
            best = self.matches.best_threshold(at)
            found.append(
                BoxFigures(
                    label,
                    int(rows[at].sum()),
                    int(images[at]),
                    self.matches.average_precision(label=at),
                    self.matches.average_precision(label=at, iou=0.5),
                    best.threshold if best else None,
                    best.f1 if best else None,
                    *ratios_of(int(right[at]), int(rows[:, at].sum()), int(rows[at].sum())),
                )
            )
        return found

    def per_class(self) -> list[BoxFigures]:
        """The figures of every class."""
        return self._figures

    @cached_property
    def mistakes(self) -> list[BoxMistake]:
        """Boxes shown but wrong, the most confident first; then missed ones, the largest first."""
        rows = zip(self.names, self.truth, self.shown, self.pairings, strict=True)
        return mistakes_on(rows, self.classes)

    def figures(self) -> dict[str, Any]:
        """The summary figures."""
        ap, matches = self.matches.average_precision, self.matches
        return {
            "images": self.images,
            "boxes": int(self.confusion[:-1].sum()),
            "box_map": ap(),
            "ap50": ap(iou=0.5),
            "ap75": ap(iou=0.75),
            "ap_small": ap(area="small"),
            "ap_medium": ap(area="medium"),
            "ap_large": ap(area="large"),
            "average_recall": matches.average_recall(),
            **self.figures_at_confidence(),
            "confidence": self.confidence,
        }

    def figures_at_confidence(self) -> dict[str, float | None]:
        """Precision, recall and F1 of the shown boxes, over all classes together."""
        table = self.confusion
        right = int(np.diagonal(table)[:-1].sum())
        found = ratios_of(right, int(table[:, :-1].sum()), int(table[:-1].sum()))
        return dict(zip(("precision", "recall", "f1"), found, strict=True))

    def to_dict(self, most_mistakes: int = 50) -> dict[str, Any]:
        """Plain values for JSON, with the `most_mistakes` worst mistakes."""
        return {
            "task": "detection",
            **self.figures(),
            "box_map_interval": list(self.interval) if self.interval else None,
            "classes": list(self.classes),
            "per_class": [figures._asdict() for figures in self.per_class()],
            "confusion": self.confusion.tolist(),
            "mistakes": [mistake._asdict() for mistake in self.mistakes[:most_mistakes]],
        }

    @property
    def plot(self) -> Plot:
        """The precision-recall curve of every class."""
        return Plot("precision_recall.png", "precision-recall curves")

    def headline(self) -> str:
        """AP and AP50."""
        ap = self.matches.average_precision
        return f"{format_number(ap(), 4)} AP, {format_number(ap(iou=0.5), 4)} AP50"

    def weakness(self) -> str:
        """Why AP is no better than that of guessing, which is about 0."""
        found = self.matches.average_precision()
        if found is None or found > LEAST_AP:
            return ""
        return f"AP {found:.4f} is about what guessing gets"

    def tables(self) -> list[Table]:
        """Figures by class, the confusion matrix, curves, and all mistakes."""
        header = [*self.classes, "(nothing)"]
        curves = [self.matches.curve(at) for at in range(len(self.classes))]
        return [
            Table("per_class.csv", BoxFigures._fields, self.per_class()),
            Table(
                "confusion.csv",
                ["there", *header],
                [[name, *row] for name, row in zip(header, self.confusion.tolist(), strict=True)],
            ),
            Table(
                "precision_recall.csv",
                ["label", "recall", "precision"],
                [
                    [label, recall, precision]
                    for label, curve in zip(self.classes, curves, strict=True)
                    if curve is not None
                    for recall, precision in zip(RECALLS.tolist(), curve.tolist(), strict=True)
                ],
            ),
            Table(
                "mistakes.csv",
                BoxMistake._fields,
                [[PurePosixPath(each.name), *each[1:]] for each in self.mistakes],
            ),
        ]

    def to_text(self, mistakes: int = 5) -> str:
        """The figures for a terminal, with the worst mistakes."""
        return evaluation_text(self, mistakes)

    def draw(self, path: Path, title: str = "") -> None:
        """The precision-recall curve of every class as PNG; `title` says what was evaluated.

        Raises:
            MissingDependencyError: Matplotlib is not installed.
        """
        from pplcnet.tasks.detection.plot import draw_curves

        draw_curves(self, path, title)


def evaluate(
    manifest: Manifest, dataset: Dataset, predictions: Iterable[tuple[LabelledImage, Found]]
) -> BoxEvaluation:
    """Compare predictions with the boxes of a data set that has the manifest's classes.

    Raises:
        DatasetError: boxes that were misread from their files; all are named.
    """
    misread = list(misread_boxes(dataset))
    if misread:
        raise DatasetError(
            f"{dataset.place}: {counted(len(misread), 'fault')} in its boxes; fix them:", misread
        )
    found = found_in(each for _, each in predictions)
    return BoxEvaluation(
        manifest.classes,
        confidence_of(manifest),
        tuple(dataset.name_of(image) for image in dataset.images),
        # Fewer than in the data set if images could not be read, which the caller reports.
        tuple(cast(Boxes, image.annotation) for image in dataset.images[: len(found)]),
        found,
    )


def found_in(predictions: Iterable[Found]) -> tuple[FoundBoxes, ...]:
    """The boxes of each prediction."""
    return tuple(
        FoundBoxes(each.xyxy, np.asarray(each.class_id, np.intp), each.confidence)
        for each in predictions
    )
