"""Photos and the files of their masks, as a layout pairs them, to a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.layouts.mask_classes import MaskClasses
from pplcnet.data.layouts.mask_values import Codings, Values, recognise
from pplcnet.data.layouts.repeats import without_repeats
from pplcnet.data.masks import IGNORED, Coding, Mask, MaskFacts, colour_text
from pplcnet.errors import DatasetError, ImageError
from pplcnet.imaging.decoding import stated_pixels
from pplcnet.imaging.files import read_image_file
from pplcnet.imaging.headers import Header, read_header
from pplcnet.imaging.masks import decode_mask, tally
from pplcnet.system.parallel import Room, in_order
from pplcnet.system.wording import counted, listed, printable

__all__ = ["Pair", "dataset_of_masks"]

NAMED = 5
STRANGE_NAMED = 8
NO_CODING = Coding(())


class Pair(NamedTuple):
    """A photo and the file of its mask."""

    photo: Path
    mask: Path | None
    """None where there is none."""
    split: str | None
    fault: str = ""
    """Why there is no mask, in words without the photo's name."""


class _Seen(NamedTuple):
    """What was found in the files of a pair."""

    size: tuple[int, int]
    """(width, height) of the upright photo; (0, 0) where it cannot be read."""
    fault: str = ""
    kind: str = ""
    """Of the fault, for the audit."""
    values: Values | None = None
    digest: str = ""
    orientation: int = 1
    turned: str = ""
    """How a mask of a photo that EXIF turns was read: "stored", "upright", "undecided"."""


def dataset_of_masks(
    source: Path,
    root: Path,
    pairs: Sequence[Pair],
    classes: MaskClasses | None,
    *,
    unpaired: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Dataset:
    """The data set of photos with masks; every mask is read once.

    A photo that EXIF turns was drawn on as it is stored, or upright: the size of the mask says
    which, and the mask is turned with the photo. Where both are possible, it is taken to be
    upright, as common tools show photos.

    Args:
        source: the file or folder that was opened.
        root: what names of photos are relative to.
        unpaired: a sentence for each mask without a photo.

    Raises:
        DatasetError: no photos, or it is not certain what the values of the masks stand for.
    """
    if not pairs:
        raise DatasetError(f"{source}: no photos with masks.", unpaired)
    seen = [*in_order(partial(_look, room=Room()), pairs)]
    read = [each.values for each in seen if each.values is not None]
    if not read:
        faults = [
            f"{os.path.relpath(pair.photo, root)}: {each.fault}"
            for pair, each in zip(pairs, seen, strict=True)
        ]
        raise DatasetError(f"{source}: none of its masks can be used:", [*faults, *unpaired])
    codings = recognise(str(source), read, classes)
    images = tuple(
        LabelledImage(pair.photo, _mask(pair, each, codings), pair.split)
        for pair, each in zip(pairs, seen, strict=True)
    )
    return without_repeats(
        Dataset(
            root,
            codings.classes,
            images,
            task="segmentation",
            notes=(*notes, *codings.notes, *_notes_on_turned(pairs, seen)),
            source=source,
            unpaired=tuple(unpaired),
        )
    )


def _look(pair: Pair, room: Room) -> _Seen:
    header = _header(pair.photo)
    size = header.upright if header is not None else (0, 0)
    if pair.mask is None:
        return _Seen(size, pair.fault, "photo without a mask")
    name = printable(pair.mask.name)
    try:
        content = read_image_file(pair.mask)
        with room.for_pixels(stated_pixels(content)):
            values, orientation, turned = decode_mask(content), 1, ""
            if header is not None and header.orientation != 1:
                turned = _how_turned(header, values.size)
                if turned == "stored":
                    orientation = header.orientation
                    values = decode_mask(content, orientation)
            if header is not None and values.size != size:
                (width, height), (own_width, own_height) = size, values.size
                return _Seen(
                    size,
                    f"the photo has {width}x{height} pixels and its mask {name} "
                    f"{own_width}x{own_height}; give the mask of this photo (masks are resized by "
                    "nearest neighbour only)",
                    "two sizes",
                )
            found = Values(values.kind, tally(values), values.palette)
            return _Seen(size, "", "", found, values.digest, orientation, turned)
    except ImageError as error:
        is_lossy = "saved as" in error.reason
        return _Seen(
            size,
            f"its mask {name} is {error.reason.removesuffix('.')}"
            if is_lossy
            else f"its mask {name}: {error.reason.removesuffix('.')}",
            "lossy mask" if is_lossy else "unreadable mask",
        )


def _header(path: Path) -> Header | None:
    """None for what the audit will find unreadable."""
    try:
        return read_header(os.fspath(path))
    except ImageError:
        return None


def _how_turned(header: Header, size: tuple[int, int]) -> str:
    if header.stored == header.upright:
        return "undecided"
    return "stored" if size == header.stored else "upright"


def _mask(pair: Pair, seen: _Seen, codings: Codings) -> Mask:
    path = pair.mask or pair.photo
    values = seen.values
    if values is None:
        facts = MaskFacts(seen.fault, seen.kind)
        none = (0,) * len(codings.classes)
        return Mask(path, seen.size, NO_CODING, none, facts_found=facts)
    coding = codings.by_kind[values.kind]
    areas, ignored, strange = [0] * len(codings.classes), 0, dict[str, int]()
    meaning = dict(coding.table)
    for value, pixels in values.counts.items():
        shown = values.colour_of(value) if coding.is_colour else value
        at = meaning.get(shown)
        if at is None:
            strange[colour_text(shown) if coding.is_colour else str(shown)] = pixels
        if at is None or at == IGNORED:
            ignored += pixels
        else:
            areas[at] += pixels
    most = sorted(strange.items(), key=lambda each: -each[1])[:STRANGE_NAMED]
    palette: tuple[tuple[int, int], ...] = ()
    if values.kind == "palette" and not coding.is_colour:
        used = [at for at in values.counts if at < len(values.palette)]
        palette = tuple((at, values.palette[at]) for at in used)
    facts = MaskFacts(
        strange=tuple(most), palette=palette, is_two_valued=codings.is_two_valued(values)
    )
    return Mask(
        path,
        seen.size,
        coding,
        tuple(areas),
        ignored,
        seen.orientation,
        seen.digest,
        facts,
    )


def _notes_on_turned(pairs: Sequence[Pair], seen: Sequence[_Seen]) -> list[str]:
    notes = []
    for how, text in (
        ("stored", "the sizes of their masks are those of the photos as stored, so the masks were "
         "rotated with them"),
        ("upright", "the sizes of their masks are those of the upright photos"),
        ("undecided", "nothing says whether their masks were drawn on the upright photos; it "
         "was assumed so"),
    ):  # fmt: skip
        names = [
            printable(pair.photo.name)
            for pair, each in zip(pairs, seen, strict=True)
            if each.turned == how
        ]
        if names:
            are = "is" if len(names) == 1 else "are"
            notes.append(
                f"{counted(len(names), 'photo')} {are} rotated by EXIF, and {text}: "
                f"{listed(names, NAMED)}."
            )
    return notes
