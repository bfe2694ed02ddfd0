"""How good a segmenter is on images with masks: figures and worst images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.masks import Mask
from pplcnet.errors import DatasetError
from pplcnet.metrics.intervals import Interval
from pplcnet.system.notebook import facts_table
from pplcnet.system.wording import counted, format_number
from pplcnet.tasks.segmentation.areas import Areas, miou_interval, miou_of
from pplcnet.tasks.segmentation.audit import mask_faults
from pplcnet.tasks.segmentation.boundaries import border_f1
from pplcnet.tasks.segmentation.figures_text import evaluation_text
from pplcnet.tasks.segmentation.measuring import Measured, joined_regions, largest_mistake, measure
from pplcnet.tasks.segmentation.regions import Regions
from pplcnet.tasks.task import Plot, Table

__all__ = ["Answered", "ImageFigures", "MaskEvaluation", "MaskFigures", "evaluate"]


class Answered(Protocol):
    """What evaluation needs from a prediction."""

    @property
    def class_map(self) -> NDArray[np.uint8]: ...  # (H, W) of the upright image


class MaskFigures(NamedTuple):
    """One class's figures, from areas summed over the images; an undefined one is None."""

    label: str
    pixels: int
    """The number of the class's pixels in the masks."""
    images: int
    """The number of images whose masks have the class."""
    iou: float | None
    precision: float | None
    recall: float | None
    dice: float | None
    boundary_f1: float | None
    regions: int
    """The number of connected components in the masks."""
    found: int
    """The number of them with at least half of their pixels right."""


class ImageFigures(NamedTuple):
    """One image's figures, from its own areas."""

    name: str
    miou: float | None
    """None if no pixel is labelled."""
    accuracy: float | None
    pixels: int
    """The number of labelled pixels."""
    mistake: str
    """The largest mistake: "road answered as land on 12 % of the pixels"; "" for none."""


@dataclass(frozen=True)
class MaskEvaluation:
    """The result of `pplcnet.evaluate` for images with masks; an undefined figure is None."""

    classes: tuple[str, ...]
    names: tuple[str, ...]
    """The names of the images."""
    right: NDArray[np.int64]
    """(N, C) correctly answered pixels of each class on each image."""
    there: NDArray[np.int64]
    """(N, C) pixels that have the class."""
    answered: NDArray[np.int64]
    """(N, C) pixels answered with the class."""
    table: NDArray[np.int64]
    """(C, C + 1): pixels by true class and answered class; the last column is for no answer."""
    borders: NDArray[np.int64]
    """(C, 4): sums of `border_counts`."""
    regions: Regions
    """The connected components of all images."""
    largest: tuple[str, ...]
    """The largest mistake of each image, in words."""

    def __repr__(self) -> str:
        return f"<MaskEvaluation {self.headline()} on {counted(self.images, 'image')}>"

    def _repr_html_(self) -> str:
        rows = [
            (name, "-" if value is None else value if isinstance(value, int) else f"{value:.4f}")
            for name, value in self.figures().items()
        ]
        return facts_table(counted(len(self.classes), "class"), rows)

    @property
    def images(self) -> int:
        """The number of evaluated images."""
        return len(self.right)

    @cached_property
    def areas(self) -> Areas:
        """The areas summed over the images."""
        return Areas(self.table)

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes in neither the masks nor the answers, which are left out of all means."""
        pairs = zip(self.classes, self.areas.is_absent.tolist(), strict=True)
        return tuple(name for name, is_absent in pairs if is_absent)

    @cached_property
    def interval(self) -> Interval | None:
        """The 95 % interval of the mIoU, by a bootstrap over images; None if there are too few."""
        return miou_interval(self.right, self.there, self.answered)

    @cached_property
    def _figures(self) -> list[MaskFigures]:
        f1 = border_f1(self.borders)
        size = len(self.classes)
        regions = np.bincount(self.regions.label, minlength=size)[:size].tolist()
        found = self.regions.label[self.regions.is_found]
        found_by_class = np.bincount(found, minlength=size)[:size].tolist()
        images = (self.there > 0).sum(axis=0).tolist()
        return [
            MaskFigures(
                label,
                int(self.areas.there[at]),
                images[at],
                *ratios,
                f1[at],
                regions[at],
                found_by_class[at],
            )
            for at, (label, ratios) in enumerate(
                zip(self.classes, self.areas.ratios(), strict=True)
            )
        ]

    def per_class(self) -> list[MaskFigures]:
        """The figures of every class."""
        return self._figures

    @cached_property
    def per_image(self) -> list[ImageFigures]:
        """The figures of every image, in the order of the data set."""
        values = miou_of(self.right, self.there, self.answered).tolist()
        labelled = self.there.sum(axis=1).tolist()
        right = self.right.sum(axis=1).tolist()
        return [
            ImageFigures(
                name,
                value if pixels else None,
                hits / pixels if pixels else None,
                pixels,
                mistake,
            )
            for name, value, hits, pixels, mistake in zip(
                self.names, values, right, labelled, self.largest, strict=True
            )
        ]

    @cached_property
    def worst_first(self) -> list[int]:
        """Indices of the images with a labelled pixel, sorted by mIoU, the worst first."""
        rows = [(each.miou, at) for at, each in enumerate(self.per_image) if each.miou is not None]
        return [at for _, at in sorted(rows)]

    def figures(self) -> dict[str, Any]:
        """The summary figures."""
        boundary = [each.boundary_f1 for each in self._figures if each.boundary_f1 is not None]
        return {
            "images": self.images,
            "pixels": int(self.there.sum()),
            "miou": self.areas.miou,
            "mean_dice": self.areas.mean_dice,
            "pixel_accuracy": self.areas.accuracy,
            "kappa": self.areas.kappa,
            "boundary_f1": sum(boundary) / len(boundary) if boundary else None,
            "absent_classes": len(self.absent),
        }

    def to_dict(self, most_mistakes: int = 50) -> dict[str, Any]:
        """Plain values for JSON, with the `most_mistakes` worst images."""
        return {
            "task": "segmentation",
            **self.figures(),
            "miou_interval": list(self.interval) if self.interval else None,
            "classes": list(self.classes),
            "absent": list(self.absent),
            "per_class": [figures._asdict() for figures in self.per_class()],
            "confusion": self.table.tolist(),
            "mistakes": [self.per_image[at]._asdict() for at in self.worst_first[:most_mistakes]],
        }

    @property
    def plot(self) -> Plot:
        """IoU of every class."""
        return Plot("iou.png", "IoU of every class")

    def headline(self) -> str:
        """mIoU and pixel accuracy."""
        miou, accuracy = format_number(self.areas.miou, 4), format_number(self.areas.accuracy, 4)
        return f"{miou} mIoU, {accuracy} pixel accuracy"

    def weakness(self) -> str:
        """Why mIoU is no better than that of answering one class everywhere."""
        found, total = self.areas.miou, int(self.areas.there.sum())
        if found is None or not total:
            return ""
        most = int(self.areas.there.argmax())
        by_guessing = int(self.areas.there[most]) / total / int((self.areas.there > 0).sum())
        if found > by_guessing:
            return ""
        return (
            f"mIoU {found:.4f} is no better than that of answering {self.classes[most]!r} "
            f"everywhere, {by_guessing:.4f}"
        )

    def tables(self) -> list[Table]:
        """Figures by class and by image, and the confusion matrix in pixels."""
        header = [*self.classes, "(nothing)"]
        return [
            Table("per_class.csv", MaskFigures._fields, self.per_class()),
            Table(
                "confusion.csv",
                ["there", *header],
                [[name, *row] for name, row in zip(self.classes, self.table.tolist(), strict=True)],
            ),
            Table(
                "per_image.csv",
                ImageFigures._fields,
                [[PurePosixPath(each.name), *each[1:]] for each in self.per_image],
            ),
        ]

    def to_text(self, mistakes: int = 5) -> str:
        """The figures for a terminal, with the worst images."""
        return evaluation_text(self, mistakes)

    def draw(self, path: Path, title: str = "") -> None:
        """IoU of every class as PNG; `title` says what was evaluated.

        Raises:
            MissingDependencyError: Matplotlib is not installed.
        """
        from pplcnet.tasks.segmentation.plot import draw_iou

        draw_iou(self, path, title)


def evaluate(
    manifest: Manifest, dataset: Dataset, predictions: Iterable[tuple[LabelledImage, Answered]]
) -> MaskEvaluation:
    """Compare predictions with the masks of a data set that has the manifest's classes.

    Raises:
        DatasetError: masks that cannot be used; all of them are named.
    """
    found = [fault.text for fault in mask_faults(dataset)]
    if found:
        raise DatasetError(
            f"{dataset.place}: {counted(len(found), 'fault')} in its masks; fix them:", found
        )
    size = len(manifest.classes)
    total = Measured(
        np.zeros((size, size + 1), np.int64), np.zeros((size, 4), np.int64), joined_regions([])
    )
    areas, regions, mistakes = list[NDArray[np.int64]](), [total.regions], list[str]()
    for image, prediction in predictions:
        each = measure(cast(Mask, image.annotation), prediction.class_map, size)
        own = Areas(each.table)
        areas.append(np.stack([own.right, own.there, own.answered]))
        regions.append(each.regions)
        mistakes.append(largest_mistake(each.table, manifest.classes))
        total.table[:] += each.table
        total.borders[:] += each.borders
    right, there, answered = np.array(areas, np.int64).reshape(-1, 3, size).transpose(1, 0, 2)
    return MaskEvaluation(
        manifest.classes,
        # Fewer than in the data set if images could not be read, which the caller reports.
        tuple(dataset.name_of(image) for image in dataset.images[: len(areas)]),
        right,
        there,
        answered,
        total.table,
        total.borders,
        joined_regions(regions),
        tuple(mistakes),
    )
