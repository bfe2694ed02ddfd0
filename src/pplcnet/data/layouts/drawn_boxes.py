"""Boxes as annotation tools write them, to boxes in pixels of the upright photo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import Boxes
from pplcnet.data.class_names import name_faults
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.layouts.repeats import without_repeats
from pplcnet.errors import DatasetError, ImageError
from pplcnet.imaging.headers import Header, read_header
from pplcnet.imaging.orientation import stored_box
from pplcnet.system.parallel import in_order
from pplcnet.system.wording import counted, listed, printable

__all__ = ["Drawn", "dataset_of_boxes"]

TOLERANCE = 2.0
"""Pixels that a box may reach out of the photo: tools round, and draw a little over the border."""
MOST_BOXES = 20_000
NAMED = 5
# What turns a stored image upright, seen from the upright one.
_BACK = {6: 8, 8: 6}


class Drawn(NamedTuple):
    """One photo with its boxes, as a file has them."""

    place: str
    """Where this is written, for messages."""
    path: Path
    split: str | None
    boxes: Sequence[Sequence[float]]
    """Left, top, right, bottom each, in pixels, or from 0 to 1 where `is_relative`."""
    names: Sequence[str]
    """Of the class of each box."""
    is_crowd: Sequence[bool]
    size: tuple[int, int] | None = None
    """(width, height) of the photo as the tool saw it; None where it does not say."""
    is_relative: bool = False
    is_stored: bool | None = None
    """Whether the boxes are of the photo before EXIF turns it, where that is said outright."""


def dataset_of_boxes(
    source: Path,
    root: Path,
    classes: Sequence[str],
    drawn: Sequence[Drawn],
    *,
    faults: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Dataset:
    """The data set of photos with boxes.

    The size and orientation of every photo is read from its header. A photo that EXIF turns was
    drawn on as it is stored, or upright: the width and height that the tool wrote say which, and
    the boxes are turned with the photo. Where they do not say, because there are none or both are
    the same, the boxes are taken to be of the upright photo, which all common tools show.

    Args:
        source: the file or folder that was opened.
        root: what names of photos are relative to.
        faults: a sentence for everything that is wrong with the files.

    Raises:
        DatasetError: `faults`, unusable names of classes, no photos, or sizes that are not those of
            the photos.
    """
    faults = [*faults, *name_faults(classes), *_too_many(drawn), *_torn(drawn)]
    if faults:
        raise DatasetError(f"{source}: {counted(len(faults), 'fault')}:", faults)
    if not drawn:
        raise DatasetError(f"{source}: lists no photos.")
    if not classes:
        raise DatasetError(f"{source}: names no classes.")
    index = {name: at for at, name in enumerate(classes)}
    images, turned, cut = list[LabelledImage](), _Turned(), 0
    headers = in_order(_header, [each.path for each in drawn])
    for each, header in zip(drawn, headers, strict=True):
        xyxy: NDArray[np.float64] = np.array(each.boxes, np.float64).reshape(-1, 4)
        if header is not None:
            xyxy = turned.upright(each, xyxy, header)
            cut += _cut_overhang(xyxy, header.upright)
        own = [index[name] for name in each.names]
        size = header.upright if header is not None else (0, 0)
        boxes = Boxes.make(xyxy, own, each.is_crowd, size)
        images.append(LabelledImage(each.path, boxes, each.split))
    if turned.faults:
        summary = f"{source}: {counted(len(turned.faults), 'photo')} of another size:"
        raise DatasetError(summary, turned.faults)
    notes = [*notes, *turned.notes()]
    if cut:
        notes.append(
            f"{counted(cut, 'box', 'boxes')} extended up to {TOLERANCE:g} pixels beyond the photo "
            f"and {'was' if cut == 1 else 'were'} clipped to it."
        )
    dataset = Dataset(
        root, tuple(classes), tuple(images), task="detection", notes=tuple(notes), source=source
    )
    return without_repeats(dataset)


def _header(path: Path) -> Header | None:
    """None for what the audit will find unreadable."""
    try:
        return read_header(os.fspath(path))
    except ImageError:
        return None


def _too_many(drawn: Sequence[Drawn]) -> list[str]:
    return [
        f"{each.place}: {len(each.boxes)} boxes on one photo; up to {MOST_BOXES} are read"
        for each in drawn
        if len(each.boxes) > MOST_BOXES
    ]


def _torn(drawn: Sequence[Drawn]) -> list[str]:
    """Photos whose boxes are spread over several entries: each would teach that the other entries'
    objects are none."""
    entries: dict[tuple[Path, str | None], list[Drawn]] = {}
    for each in drawn:
        entries.setdefault((each.path, each.split), []).append(each)
    return [
        f"{some[0].place}: is listed {len(some)} times with different boxes; list it once, with "
        "all its boxes"
        for some in entries.values()
        if len({repr((each.boxes, each.names, each.is_crowd)) for each in some}) > 1
    ]


class _Turned:
    """Brings boxes upright, and counts what it did."""

    def __init__(self) -> None:
        self.as_stored: list[str] = []
        self.as_upright: list[str] = []
        self.stated: list[str] = []
        self.undecided: list[str] = []
        self.faults: list[str] = []

    def upright(
        self, drawn: Drawn, xyxy: NDArray[np.float64], header: Header
    ) -> NDArray[np.float64]:
        """Boxes of the upright photo, in its pixels."""
        if drawn.is_relative:
            size = header.stored if drawn.is_stored else header.upright
            xyxy = xyxy * [*size, *size]
        if drawn.size not in (None, header.upright, header.stored):
            seen, there = (f"{width}x{height}" for width, height in (drawn.size, header.upright))
            self.faults.append(
                f"{drawn.place}: says that the photo has {seen} pixels, but {drawn.path.name} has "
                f"{there}; give the photos that the boxes were drawn on"
            )
        if header.orientation == 1:
            return xyxy
        name = printable(drawn.path.name)
        if drawn.is_stored is not None:
            self.stated.append(name)
            return _turned_upright(xyxy, header) if drawn.is_stored else xyxy
        if drawn.size is None or header.stored == header.upright:
            self.undecided.append(name)
        elif drawn.size == header.upright:
            self.as_upright.append(name)
        else:
            self.as_stored.append(name)
            return _turned_upright(xyxy, header)
        return xyxy

    def notes(self) -> list[str]:
        """A sentence for each of the ways in which the boxes were drawn."""
        return [
            f"{counted(len(names), 'photo')} {'is' if len(names) == 1 else 'are'} rotated by EXIF, "
            f"and {how}: {listed(names, NAMED)}."
            for names, how in (
                (
                    self.as_stored,
                    "the width and height beside the boxes are those of the photo as stored, so "
                    "the boxes were rotated with it",
                ),
                (
                    self.as_upright,
                    "the width and height beside the boxes are those of the upright photo, so the "
                    "boxes were left as they are",
                ),
                (self.stated, "the boxes were read as boxes_drawn_on says"),
                (
                    self.undecided,
                    "nothing beside the boxes says whether they were drawn on the upright photo; "
                    "it was assumed so",
                ),
            )
            if names
        ]


def _turned_upright(xyxy: NDArray[np.float64], header: Header) -> NDArray[np.float64]:
    # The stored photo is to the upright one what an upright one is to a stored one that is turned
    # the other way.
    back = _BACK.get(header.orientation, header.orientation)
    boxes = [stored_box((*box,), header.stored, back) for box in xyxy.tolist()]
    return np.array(boxes, np.float64).reshape(-1, 4)


def _cut_overhang(xyxy: NDArray[np.float64], size: tuple[int, int]) -> int:
    """Cut off, in place, what reaches out of the photo by no more than TOLERANCE.

    Returns how many boxes were cut.
    """
    limits = np.array([*size, *size], np.float64)
    is_near = (xyxy >= -TOLERANCE) & (xyxy <= limits + TOLERANCE)
    clipped = np.where(is_near, xyxy.clip(0, limits), xyxy)
    number = int((clipped != xyxy).any(axis=1).sum())
    xyxy[:] = clipped
    return number
