"""Faults that make photos with boxes unfit for training, and remarks on such data sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import Boxes
from pplcnet.data.audit import Fault
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.models.catalog import DETECTOR_STRIDES
from pplcnet.system.wording import counted, listed

__all__ = ["count_unseen", "faults", "misread_boxes", "notes"]

NAMED = 5
LEAST_SIDE = 1e-2
"""In pixels; a box with a shorter side counts as having no area."""
INPUTS = (320, 416, 640)
"""The input sizes that PicoDet is published with, in pixels."""
# An image with a side shorter than this may well have boxes of one pixel.
NOT_TINY = 8


class _Seen(NamedTuple):
    """Which boxes of an image have which fault, each (B,) bool; at most one is true for a box."""

    swapped: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    overhanging: NDArray[np.bool_]
    repeated: NDArray[np.bool_]


# {s} and {es} are verb endings for a single box.
_TEXTS = {
    "swapped": "whose right or bottom edge comes before the left or top one",
    "empty": "with no area",
    "outside": "entirely outside the photo",
    "overhanging": "that extend{s} beyond the photo",
    "repeated": "that repeat{s} another of the same photo and class",
}
_KINDS = {
    "swapped": "swapped corners",
    "empty": "no area",
    "outside": "outside",
    "overhanging": "overhanging",
    "repeated": "same box twice",
}


def faults(dataset: Dataset) -> Iterator[Fault]:
    """Boxes and classes that cannot be learned.

    The boxes are dropped, not their photos; a box that extends beyond its photo is clipped to it.
    """
    normalised = [image for image in dataset.images if _is_normalised(_boxes_of(image))]
    if normalised:
        names = [dataset.name_of(image) for image in normalised]
        yield Fault(
            "normalised",
            f"all boxes of {counted(len(names), 'photo')} lie between 0 and 1, like fractions of "
            f"the photo's width and height; convert them to pixels: {listed(names, NAMED)}",
            tuple(normalised),
        )
    wrong = set(normalised)
    seen = [
        (image, _seen(_boxes_of(image)))
        for image in dataset.images
        if image not in wrong and all(_boxes_of(image).size)
    ]
    for kind, text in _TEXTS.items():
        found = [(image, getattr(each, kind)) for image, each in seen if getattr(each, kind).any()]
        if found:
            number = sum(int(chosen.sum()) for _, chosen in found)
            named = list(_named(dataset, found))
            yield Fault(
                _KINDS[kind],
                f"{counted(number, 'box', 'boxes')} "
                f"{text.format(s='s' * (number == 1), es='es' * (number == 1))}: "
                f"{listed(named, NAMED)}"
                f"{_hint(dataset, found) if kind in ('outside', 'overhanging') else ''}",
                mended=tuple((image, _mended(image)) for image, _ in found),
            )
    yield from _class_faults(dataset)


def misread_boxes(dataset: Dataset) -> Iterator[str]:
    """Signs that the boxes were misread, in which case no figures may be computed from them.

    A box without an area, or a few that extend beyond their photos, are not such signs.
    """
    boxes = [each for image in dataset.images if all((each := _boxes_of(image)).size)]
    seen = [_seen(each) for each in boxes]
    beyond = sum(int((each.outside | each.overhanging).sum()) for each in seen)
    kinds = {"normalised", _KINDS["swapped"]}
    if 2 * beyond > sum(map(len, boxes)):
        kinds |= {_KINDS["outside"], _KINDS["overhanging"]}
    yield from (fault.text for fault in faults(dataset) if fault.kind in kinds)


def notes(dataset: Dataset) -> Iterator[str]:
    """The number of boxes, photos without any, crowds, and boxes that are too small."""
    boxes = [_boxes_of(image) for image in dataset.images]
    counts = np.zeros(len(dataset.classes), np.intp)
    for each in boxes:
        np.add.at(counts, each.classes[~each.is_crowd], 1)
    per_class = [f"{count} {name}" for name, count in zip(dataset.classes, counts, strict=True)]
    yield f"{counted(int(counts.sum()), 'box', 'boxes')}: {listed(per_class, 12)}."
    without = sum(not len(each) for each in boxes)
    if without:
        yield (
            f"{counted(without, 'photo')} without boxes {'is' if without == 1 else 'are'} kept as "
            "negatives."
        )
    crowds = sum(int(each.is_crowd.sum()) for each in boxes)
    if crowds:
        yield (
            f"{counted(crowds, 'crowd box', 'crowd boxes')} {'is' if crowds == 1 else 'are'} "
            "neither trained on nor counted."
        )
    yield from _unseen_notes(boxes)
    twofold = sum(_of_two_classes(each) for each in boxes)
    if twofold:
        yield (
            f"{counted(twofold, 'box', 'boxes')} {'has' if twofold == 1 else 'have'} the same "
            "corners as one of another class: a detector learns only one class for a place."
        )


def count_unseen(boxes: Iterable[Boxes], height: int, width: int) -> int:
    """The number of boxes with no cell's centre in them once the photo is stretched to the input.

    They are assigned to no cell, so the detector never learns them.
    """
    number = 0
    for each in boxes:
        if not all(each.size):
            continue
        true = each.xyxy[~each.is_crowd & _has_area(each)].astype(np.float64)
        scale = np.array([width / each.size[0], height / each.size[1]] * 2)
        placed = true * scale
        is_seen = np.zeros(len(true), bool)
        for stride in DETECTOR_STRIDES:
            # Centre k is at (k + 0.5) times the stride; these are the first and the last inside.
            first = np.floor(placed[:, :2] / stride - 0.5) + 1
            last = np.ceil(placed[:, 2:] / stride - 0.5) - 1
            is_seen |= (first <= last).all(axis=1)
        number += int((~is_seen).sum())
    return number


def _boxes_of(image: LabelledImage) -> Boxes:
    return cast(Boxes, image.annotation)


def _has_area(boxes: Boxes) -> NDArray[np.bool_]:
    sides = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
    return np.asarray((sides >= LEAST_SIDE).all(axis=1))


def _is_normalised(boxes: Boxes) -> bool:
    is_large = min(boxes.size) > NOT_TINY
    in_range = (boxes.xyxy >= 0) & (boxes.xyxy <= 1)
    return bool(len(boxes) and is_large and in_range.all() and boxes.xyxy.any())


def _seen(boxes: Boxes) -> _Seen:
    xyxy, limits = boxes.xyxy, np.array([*boxes.size, *boxes.size], np.float32)
    sides = xyxy[:, 2:] - xyxy[:, :2]
    swapped = (sides < 0).any(axis=1)
    empty = ~swapped & ~_has_area(boxes)
    is_box = ~(swapped | empty)
    outside = is_box & ((xyxy[:, 2:] <= 0).any(axis=1) | (xyxy[:, :2] >= limits[:2]).any(axis=1))
    overhanging = is_box & ~outside & ((xyxy < 0) | (xyxy > limits)).any(axis=1)
    is_good = is_box & ~outside & ~overhanging
    repeated = np.zeros(len(boxes), bool)
    met: set[tuple[object, ...]] = set()
    for at in np.flatnonzero(is_good).tolist():
        key = (int(boxes.classes[at]), *xyxy[at].tolist())
        repeated[at] = key in met
        met.add(key)
    return _Seen(*map(np.asarray, (swapped, empty, outside, overhanging, repeated)))


def _mended(image: LabelledImage) -> LabelledImage:
    """The image without its faulty boxes, and with the others clipped to its border."""
    boxes = _boxes_of(image)
    seen = _seen(boxes)
    limits = np.array([*boxes.size, *boxes.size], np.float32)
    left = boxes.chosen(~(seen.swapped | seen.empty | seen.outside | seen.repeated))
    cut = Boxes.make(left.xyxy.clip(0, limits), left.classes, left.is_crowd, left.size)
    # Clipping can leave nothing, or the same as another box.
    again = _seen(cut)
    return replace(image, annotation=cut.chosen(~(again.empty | again.repeated)))


def _named(
    dataset: Dataset, found: Iterable[tuple[LabelledImage, NDArray[np.bool_]]]
) -> Iterator[str]:
    for image, chosen in found:
        boxes = _boxes_of(image)
        for at in np.flatnonzero(chosen).tolist():
            place = ", ".join(f"{each:g}" for each in boxes.xyxy[at].round(2).tolist())
            width, height = boxes.size
            yield (
                f"{dataset.name_of(image)} ({dataset.classes[int(boxes.classes[at])]} at {place}; "
                f"the photo has {width}x{height})"
            )


def _hint(dataset: Dataset, found: Iterable[tuple[LabelledImage, NDArray[np.bool_]]]) -> str:
    """A hint if the boxes are corners that were read as width and height; else ""."""
    is_corner: list[bool] = []
    for image, chosen in found:
        boxes = _boxes_of(image)
        given = boxes.xyxy[chosen]
        ends = given[:, 2:] - given[:, :2]  # the last two numbers in the file
        fits = (ends > given[:, :2]) & (ends <= np.array(boxes.size))
        is_corner += [all(each) for each in fits.tolist()]
    if str(dataset.place).endswith(".csv") or np.mean(is_corner) < 0.9:
        return ""
    return (
        ". They would all fit if the last two numbers were the right and bottom edge, but COCO's "
        "bbox is left, top, width, height"
    )


def _class_faults(dataset: Dataset) -> Iterator[Fault]:
    to_train_on = dataset.keep(
        image for image in dataset.images if image.split in ("train", None)
    ).class_counts()
    for at, (name, count) in enumerate(zip(dataset.classes, dataset.class_counts(), strict=True)):
        if count < 2:
            kind, boxes = (
                ("one image", "boxes on one photo only") if count else ("empty class", "no boxes")
            )
            yield Fault(kind, f"class {name!r} has {boxes}; it needs some on at least two photos")
        elif dataset.has_splits and not to_train_on[at]:
            yield Fault("empty class", f"nothing to train on: class {name!r} has no boxes in train")


def _unseen_notes(boxes: list[Boxes]) -> Iterator[str]:
    total = sum(int((~each.is_crowd).sum()) for each in boxes)
    numbers = [count_unseen(boxes, side, side) for side in INPUTS]
    if numbers[0]:
        others = ", ".join(
            f"at {side} {number}" for side, number in zip(INPUTS[1:], numbers[1:], strict=True)
        )
        yield (
            f"{numbers[0]} of {total} boxes ({numbers[0] / total:.1%}) are too small to be learned "
            f"at an input of {INPUTS[0]}x{INPUTS[0]}: they contain no cell's centre, so the "
            f"detector never learns them; {others}."
        )


def _of_two_classes(boxes: Boxes) -> int:
    """The number of boxes with the same corners as an earlier one of another class."""
    first: dict[tuple[float, ...], int] = {}
    number = 0
    for corners, label in zip(boxes.xyxy.tolist(), boxes.classes.tolist(), strict=True):
        number += first.setdefault((*corners,), label) != label
    return number
