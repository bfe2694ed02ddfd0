"""The mask of an image, a class for each pixel, as an annotation (`pplcnet.data.annotations`).

The mask stays in its file. Only the pixel counts by class and a digest are kept, so that a mask
that has changed since is never mistaken for the audited one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError
from pplcnet.imaging.geometry import UNKNOWN
from pplcnet.imaging.masks import MaskValues, decode_mask

__all__ = ["GREY", "IGNORED", "MOST_CLASSES", "Coding", "Mask", "MaskFacts", "colour_text"]

IGNORED = UNKNOWN
"""The class index of a pixel that is neither trained on nor counted."""
MOST_CLASSES = 255
LARGE = 0.1
"""From this share of the labelled pixels on, a class that is missing in another mask of the same
photo is a contradiction. In near-duplicates, small things may come and go."""
GREY = 0x010101
"""A grey level times this is the same grey as a colour."""


@dataclass(frozen=True, slots=True)
class Coding:
    """Which values of a mask stand for which class."""

    table: tuple[tuple[int, int], ...]
    """Value and class index, IGNORED for pixels to ignore; ascending by value."""
    is_colour: bool = False
    """Whether the values are colours 0xRRGGBB, of pixels or of palette entries, instead of grey
    levels or palette indices."""

    def decode(self, mask: MaskValues) -> NDArray[np.uint8]:
        """(H, W) class indices; IGNORED for a value that stands for no class."""
        values = mask.values
        if self.is_colour and mask.kind == "palette":
            classes: NDArray[np.uint8] = np.full(256, IGNORED, np.uint8)
            classes[: len(mask.palette)] = self._lookup(np.array(mask.palette, np.uint32))
            return np.asarray(classes[values])
        if self.is_colour and mask.kind == "grey":
            values = values.astype(np.uint32) * np.uint32(GREY)
        if values.dtype == np.uint8:
            return np.asarray(self._lookup(np.arange(256, dtype=np.uint32))[values])
        return self._lookup(values)

    def _lookup(self, values: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
        known, classes = np.array(self.table or [(0, IGNORED)], np.uint32).T
        places = np.searchsorted(known, values).clip(max=len(known) - 1)
        found = np.where(known[places] == values, classes[places], IGNORED)
        return found.astype(np.uint8)

    def renumbered(self, place: Mapping[int, int]) -> Coding:
        """The coding for another list of classes; pixels of dropped classes are ignored."""
        table = tuple((value, place.get(at, IGNORED)) for value, at in self.table)
        return Coding(table, self.is_colour)

    def to_text(self, classes: Sequence[str]) -> str:
        """JSON: every class with its values, and the ignored values."""
        names = [*enumerate(classes), (IGNORED, None)]
        content = {
            name: [self._shown(value) for value, at in self.table if at == own]
            for own, name in names
            if name is not None
        }
        ignored = [self._shown(value) for value, at in self.table if at == IGNORED]
        return json.dumps(
            {"classes": content, "ignored": ignored}, ensure_ascii=False, separators=(",", ":")
        )

    def _shown(self, value: int) -> int | str:
        return colour_text(value) if self.is_colour else value

    @classmethod
    def from_text(cls, text: str, classes: Sequence[str]) -> Coding:
        """The inverse of `to_text`; ValueError for an unknown class, or anything else."""
        content, table = _coding_in(text), list[tuple[int, int]]()
        index = {name: at for at, name in enumerate(classes)}
        if not {*content.classes} <= {*index}:
            unknown = next(name for name in content.classes if name not in index)
            raise ValueError(f"{unknown[:40]!r} is not one of the classes")
        for name, values in content.classes.items():
            table += [(value, index[name]) for value in values]
        table += [(value, IGNORED) for value in content.ignored]
        return cls(tuple(sorted(table)), content.is_colour)


class MaskFacts(NamedTuple):
    """What the audit needs to know about a mask, beyond what training needs."""

    fault: str = ""
    """Why the mask cannot be used, in words without the file's name; "" if it can."""
    kind: str = ""
    """The kind of the fault, such as "unreadable mask"; "" if there is none."""
    strange: tuple[tuple[str, int], ...] = ()
    """Values that stand for no class, in readable form, with the number of pixels of each."""
    palette: tuple[tuple[int, int], ...] = ()
    """For a palette that is read by its indices: the used ones, with their colours."""
    is_two_valued: bool = False
    """Whether there are only the values 0 and 255, and 255 is ignored."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Where an image's mask is, and how its values become classes."""

    path: Path
    size: tuple[int, int]
    """(width, height) of the upright image in pixels; (0, 0) if it cannot be read."""
    coding: Coding
    areas: tuple[int, ...]
    """The number of pixels of each class."""
    ignored: int = 0
    """The number of pixels that are neither trained on nor counted."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8, that turns the mask's file upright like the image."""
    digest: str = ""
    """The digest of the mask's values, upright."""
    facts_found: MaskFacts = field(default=MaskFacts(), compare=False)

    def read(self) -> NDArray[np.uint8]:
        """(H, W) uint8 of the upright image: class indices, IGNORED for pixels to ignore.

        Raises:
            ImageError: the file cannot be read, or its values have changed since it was audited.
        """
        if self.facts_found.fault:
            raise ImageError(os.fspath(self.path), f"{self.facts_found.fault}.")
        values = decode_mask(self.path, self.orientation)
        if self.digest and values.digest != self.digest:
            raise ImageError(
                os.fspath(self.path),
                "this mask has changed since it was first read. Restore it, or start again.",
            )
        return self.coding.decode(values)

    @property
    def shown(self) -> tuple[int, ...]:
        """The classes that have a pixel."""
        return tuple(at for at, pixels in enumerate(self.areas) if pixels)

    @property
    def unknown(self) -> tuple[int, ...]:
        """Empty: what is not in the mask is not in the image."""
        return ()

    @property
    def labelled(self) -> int:
        """The number of pixels that have a class."""
        return sum(self.areas)

    def renumbered(self, place: Mapping[int, int], count: int) -> Mask | None:
        """Ignores the pixels of dropped classes; None if no others are left."""
        areas = [0] * count
        for old, new in place.items():
            areas[new] = self.areas[old]
        if self.labelled and not sum(areas):
            return None
        ignored = self.ignored + self.labelled - sum(areas)
        coding = self.coding.renumbered(place)
        return replace(self, coding=coding, areas=tuple(areas), ignored=ignored)

    @classmethod
    def are_contradictory(cls, said: Iterable[Self]) -> bool:
        """Whether a class that covers a large part in one is missing in another."""
        every = list(said)
        shown = [{*each.shown} for each in every]
        return any(
            at not in other
            for each in every
            for at, pixels in enumerate(each.areas)
            if pixels >= LARGE * max(1, each.labelled)
            for other in shown
        )

    def to_text(self, classes: Sequence[str]) -> str:
        """The share of each class, the largest first."""
        total = max(1, self.labelled)
        order = sorted(self.shown, key=lambda at: -self.areas[at])
        return (
            ", ".join(f"{self.areas[at] / total:.0%} {classes[at]}" for at in order)
            or "no labelled pixel"
        )

    def facts(self, classes: Sequence[str]) -> str:
        """The digest of the mask, and which classes its values stand for."""
        return f"{self.digest} {self.coding.to_text(classes)}"

    @classmethod
    def columns(cls, classes: Sequence[str]) -> list[str]:
        """The mask's file and coding, the image's size, and the pixels by class."""
        return ["mask", "width", "height", "coding", "areas", "ignored", "turned", "mask_digest"]

    @classmethod
    def classes_in(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """The class names in the codings' column, in the order of the first row."""
        if not {"mask", "coding"} <= {*columns}:
            raise ValueError("it has no columns 'mask' and 'coding'")
        at = columns.index("coding")
        found: dict[str, None] = {}
        for text in dict.fromkeys(row[at] for row in rows):
            found.update(dict.fromkeys(_coding_in(text).classes))
        return list(found)

    def cells(self, classes: Sequence[str]) -> list[Any]:
        """The values in these columns."""
        return [
            self.path.resolve(),
            *self.size,
            self.coding.to_text(classes),
            " ".join(map(str, self.areas)),
            self.ignored,
            self.orientation,
            self.digest,
        ]

    @classmethod
    def from_cells(cls, cells: Sequence[str], classes: Sequence[str]) -> Self:
        """The inverse of `cells`; ValueError for an unknown class, or for what is not a mask."""
        path, width, height, coding, areas, ignored, orientation, digest = cells
        numbers = [int(each) for each in (width, height, ignored, orientation, *areas.split())]
        own = _coding_in(coding).classes
        if not path or "\0" in path or min(numbers) < 0 or not 1 <= numbers[3] <= 8:
            raise ValueError(f"{', '.join(cells)[:80]!r} does not describe a mask")
        if len(numbers) - 4 != len(own):
            raise ValueError(f"{len(numbers) - 4} areas for {len(own)} classes")
        by_name = dict(zip(own, numbers[4:], strict=True))
        return cls(
            Path(path),
            (numbers[0], numbers[1]),
            Coding.from_text(coding, classes),
            tuple(by_name.get(name, 0) for name in classes),
            numbers[2],
            numbers[3],
            digest,
        )


def colour_text(value: int) -> str:
    """The colour 0xRRGGBB as "#rrggbb"."""
    return f"#{value:06x}"


class _Content(NamedTuple):
    classes: dict[str, list[int]]
    ignored: list[int]
    is_colour: bool


def _coding_in(text: str) -> _Content:
    """What `Coding.to_text` wrote; ValueError for anything else."""
    try:
        content = json.loads(text)
        classes, ignored = content["classes"], content["ignored"]
        every = [each for values in [*classes.values(), ignored] for each in values]
    except (RecursionError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{text[:40]!r} is not a mask coding") from error
    is_colour = any(isinstance(each, str) for each in every)
    try:
        read = _colour if is_colour else _level
        own = {name: [read(each) for each in values] for name, values in classes.items()}
        return _Content(own, [read(each) for each in ignored], is_colour)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text[:40]!r} is not a mask coding") from error


def _colour(text: str) -> int:
    if len(text) != 7 or text[0] != "#":
        raise ValueError(text[:40])
    return int(text[1:], 16)


def _level(value: int) -> int:
    if type(value) is not int or not 0 <= value <= 0xFFFF:
        raise ValueError(value)
    return value
