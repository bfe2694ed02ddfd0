"""Scores a segmenter's logits against images with masks: mean IoU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import LabelledImage
from pplcnet.data.masks import IGNORED, Mask
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks.segmentation.areas import Areas, area_table, miou_of
from pplcnet.tasks.segmentation.class_maps import class_map
from pplcnet.tasks.task import Drop, Outputs

__all__ = ["JudgedMasks", "MaskJudge", "judge"]


class _Kept(NamedTuple):
    """What is kept of the logits of one image."""

    answer: NDArray[np.uint8]
    """(h, w) classes at the head's own resolution."""
    areas: NDArray[np.int64]
    """(3, C) in the image's own pixels: right, true, answered; zeros without a mask."""
    loss: float
    """The cross-entropy, summed over the cells that have a class."""
    cells: int
    is_nan: bool


@dataclass(frozen=True)
class JudgedMasks:
    """A `Judged` of images with masks."""

    classes: int
    kept: Sequence[_Kept]

    @property
    def value(self) -> float:
        """mIoU in the images' own pixels; NaN when a logit is NaN, 0 if no pixel has a class."""
        if any(each.is_nan for each in self.kept):
            return float("nan")
        total = sum((each.areas for each in self.kept), start=np.zeros((3, self.classes), np.int64))
        return float(np.nan_to_num(miou_of(*total)))

    @property
    def loss(self) -> float:
        """Mean cross-entropy over the cells of the logits, against the class at their centres."""
        total = sum(each.loss for each in self.kept)
        return total / max(1, sum(each.cells for each in self.kept))

    @property
    def each(self) -> list[float]:
        """mIoU of each single image; 1 for one without a labelled pixel."""
        values = [miou_of(*each.areas) for each in self.kept]
        return [1.0 if np.isnan(value) else float(value) for value in values]

    def drop(self, reference: Self) -> Drop:
        """How far mIoU falls."""
        return Drop(reference.value - self.value, "mIoU")

    def agreement(self, other: Self) -> float:
        """The share of the logits' cells that get the same class."""
        pairs = zip(self.kept, other.kept, strict=True)
        shares = [float((one.answer == another.answer).mean()) for one, another in pairs]
        return float(np.mean(shares)) if shares else 1.0


@dataclass(frozen=True)
class MaskJudge:
    """A `Judge` of images with masks, which are read again for each judgement."""

    truth: tuple[Mask, ...]
    geometries: tuple[Geometry, ...]
    """Maps each image to the network's input."""
    classes: int
    input_size: tuple[int, int]
    """The (height, width) of the network's input."""

    def judged(self, outputs: Iterable[Outputs]) -> JudgedMasks:
        """Score logits (N, h, w, C); only a class per cell is kept of them."""
        kept: list[_Kept] = []
        for some in outputs:
            for logits in some["logits"]:
                kept.append(self._kept(len(kept), logits))
        return JudgedMasks(self.classes, kept)

    def _kept(self, at: int, logits: NDArray[np.float32]) -> _Kept:
        answer = logits.argmax(axis=2).astype(np.uint8)
        is_nan = bool(np.isnan(logits).any())
        if not self.truth:
            return _Kept(answer, np.zeros((3, self.classes), np.int64), 0.0, 0, is_nan)
        geometry, truth = self.geometries[at], self.truth[at].read()
        table = area_table(truth, class_map(logits, geometry, self.input_size), self.classes)
        loss, cells = self._loss(logits, truth, geometry)
        areas = Areas(table)
        counts = np.stack([areas.right, areas.there, areas.answered])
        return _Kept(answer, counts, loss, cells, is_nan)

    def _loss(
        self, logits: NDArray[np.float32], truth: NDArray[np.uint8], geometry: Geometry
    ) -> tuple[float, int]:
        """The summed cross-entropy of the cells whose centre has a class, and their number."""
        rows, columns = (
            _pixels_under(logits.shape[axis], geometry, 1 - axis, self.input_size[axis])
            for axis in (0, 1)
        )
        labels = truth[rows.clip(0, truth.shape[0] - 1)][:, columns.clip(0, truth.shape[1] - 1)]
        # A cell in the padding covers no part of the photo.
        is_inside = ((rows >= 0) & (rows < truth.shape[0]))[:, None] & (
            (columns >= 0) & (columns < truth.shape[1])
        )
        chosen = is_inside & (labels != IGNORED)
        own = logits[chosen].astype(np.float64)
        if not len(own):
            return 0.0, 0
        own -= own.max(axis=1, keepdims=True)
        losses = np.log(np.exp(own).sum(axis=1)) - own[np.arange(len(own)), labels[chosen]]
        return float(losses.sum()), len(own)

    def of_some(self, chosen: Sequence[int]) -> Self:
        """A judge of some of the images, given by index."""
        truth = tuple(self.truth[at] for at in chosen)
        geometries = tuple(self.geometries[at] for at in chosen)
        return type(self)(truth, geometries, self.classes, self.input_size)


def _pixels_under(cells: int, geometry: Geometry, axis: int, pixels: int) -> NDArray[np.int64]:
    """Along one axis, the pixel of the image in which the centre of each cell lies."""
    places = (np.arange(cells) + 0.5) * (pixels / cells)
    inside = (places - geometry.offset[axis]) / geometry.scale[axis]
    return np.floor(inside).astype(np.int64)


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> MaskJudge:
    """The judge of images that are labelled with the manifest's classes."""
    truth = tuple(cast(Mask, image.annotation) for image in images)
    preprocessing = manifest.preprocessing
    return MaskJudge(
        truth,
        tuple(preprocessing.geometry_of(each.size) for each in truth),
        len(manifest.classes),
        preprocessing.image_size,
    )
