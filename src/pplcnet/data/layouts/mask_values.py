"""What the values of masks stand for: recognised from all masks together, and said aloud.

A mask of 0 and 255, an index PNG in which 255 is ignored, a palette, colours: the same file can
often be read in two ways, and the wrong one trains on nothing. So what is not certain is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pplcnet.data.layouts.mask_classes import CLASSES_FILE, MaskClasses
from pplcnet.data.masks import GREY, IGNORED, Coding, colour_text
from pplcnet.errors import DatasetError
from pplcnet.system.wording import counted, listed

__all__ = ["Codings", "Values", "recognise"]

BLACK_AND_WHITE = {0, 255}
NO_COLOUR = 1 << 24
"""More than any colour."""
NOTED = 12
# Of the pixels; below it, 255 may well be the seams between regions.
LEAST_WHITE = 0.01


class Values(NamedTuple):
    """The values of one mask."""

    kind: str
    """ "grey", "palette" or "colour", as `imaging.masks.decode_mask` says."""
    counts: dict[int, int]
    """Pixels of each value."""
    palette: tuple[int, ...]
    """0xRRGGBB of each index, of a palette."""

    @property
    def colours(self) -> set[int]:
        """The colours of its pixels."""
        return {self.colour_of(each) for each in self.counts}

    def colour_of(self, value: int) -> int:
        """0xRRGGBB; NO_COLOUR of an index that the palette does not have."""
        if self.kind == "palette":
            return self.palette[value] if value < len(self.palette) else NO_COLOUR
        return value * GREY if self.kind == "grey" else value


class Codings(NamedTuple):
    """How masks are read."""

    classes: tuple[str, ...]
    by_kind: dict[str, Coding]
    notes: list[str]
    """A sentence for each kind of mask: how it is read."""
    is_ignored_stated: bool
    """Whether the user said what is ignored."""

    def is_two_valued(self, values: Values) -> bool:
        """Whether there are only 0 and 255, and 255 is ignored without anybody's having said so."""
        coding = self.by_kind[values.kind]
        white = values.counts.get(255, 0)
        return (
            not self.is_ignored_stated
            and not coding.is_colour
            and {*values.counts} == BLACK_AND_WHITE
            and dict(coding.table).get(255) == IGNORED
            and white >= LEAST_WHITE * (white + values.counts[0])
        )


def recognise(place: str, masks: Sequence[Values], classes: MaskClasses | None) -> Codings:
    """How the masks of a data set are read.

    Args:
        place: the data set, for messages.
        masks: of all masks that can be read, at least one.
        classes: what a file says of the classes.

    Raises:
        DatasetError: that is not certain; the message says what to write to which file.
    """
    kinds = {each.kind for each in masks}
    levels = {at for each in masks if each.kind != "colour" for at in each.counts}
    if classes is None:
        return _without_names(place, kinds, levels)
    by_kind: dict[str, Coding] = {}
    notes: list[str] = []
    for kind in sorted(kinds):
        own = [each for each in masks if each.kind == kind]
        if _is_by_colour(own, classes, kinds):
            by_kind[kind] = _colour_coding(classes)
            notes.append(_said(kind, by_kind[kind], classes.names))
        elif kind == "colour":
            raise _colourless(place, classes)
        else:
            seen = {at for each in own for at in each.counts}
            by_kind[kind] = _level_coding(place, classes, seen)
            notes.append(_said(kind, by_kind[kind], classes.names))
    return Codings(classes.names, by_kind, notes, classes.ignored is not None)


def _without_names(place: str, kinds: set[str], levels: set[int]) -> Codings:
    """Two values are background and foreground; more need names."""
    if "colour" in kinds:
        raise DatasetError(
            f"{place}: its masks are colour-coded, and nothing says which classes the colours "
            f'stand for; write a {CLASSES_FILE} with {{"classes": [...], "colors": '
            '{{NAME: "#rrggbb", ...}}}} next to them.'
        )
    names = ("background", "foreground")
    for white in (1, 255):
        if levels in ({0, white}, {white}):
            coding = Coding(((0, 0), (white, 1)))
            note = (
                f"nothing names the classes, and the masks hold {' and '.join(map(str, levels))} "
                f"only: 0 is read as {names[0]}, {white} as {names[1]}. A {CLASSES_FILE} with a "
                "list of two names gives them others."
            )
            return Codings(names, dict.fromkeys(kinds, coding), [note], is_ignored_stated=False)
    raise DatasetError(
        f"{place}: its masks have the values {listed([*map(str, sorted(levels))], NOTED)}, and "
        f"nothing says which classes they stand for; write a {CLASSES_FILE} with a list of names, "
        "in the order of the values, beside the masks."
    )


def _is_by_colour(masks: Sequence[Values], classes: MaskClasses, kinds: set[str]) -> bool:
    if classes.colours is None:
        return False
    known = {*classes.colours, *classes.ignored_colours}
    kind = masks[0].kind
    if kind == "colour":
        return True
    found = set[int]().union(*(each.colours for each in masks))
    if not found <= known:
        return False
    # A mask that is black all over is a colour among coloured ones, and index 0 elsewhere.
    levels = {at for each in masks for at in each.counts}
    by_level = {*(classes.values or range(len(classes.names)))}
    return kind == "palette" or "colour" in kinds or not levels <= by_level


def _colour_coding(classes: MaskClasses) -> Coding:
    table = dict.fromkeys(classes.ignored_colours, IGNORED)
    table |= {colour: at for at, colour in enumerate(classes.colours or ())}
    return Coding(tuple(sorted(table.items())), is_colour=True)


def _level_coding(place: str, classes: MaskClasses, seen: set[int]) -> Coding:
    values = classes.values or tuple(range(len(classes.names)))
    table = {value: at for at, value in enumerate(values)}
    if seen == BLACK_AND_WHITE and 255 not in table:
        if len(classes.names) == 2 and classes.values is None and classes.ignored is None:
            return Coding(((0, 0), (255, 1)))
        raise _two_valued(place, classes)
    for each in classes.ignored if classes.ignored is not None else (255,):
        table.setdefault(each, IGNORED)
    return Coding(tuple(sorted(table.items())))


def _two_valued(place: str, classes: MaskClasses) -> DatasetError:
    names = listed(classes.names, NOTED)
    why = (
        f"{classes.source.name} says that 255 is ignored"
        if classes.ignored
        else f"{classes.source.name} names {counted(len(classes.names), 'class')} ({names})"
    )
    return DatasetError(
        f"{place}: its masks contain only 0 and 255, and {why}; if 255 stands for a class, "
        f'name only the two classes in {CLASSES_FILE} and write "values": {{NAME: 0, NAME: 255}} '
        "there, else give the masks with the indices of the classes."
    )


def _colourless(place: str, classes: MaskClasses) -> DatasetError:
    return DatasetError(
        f"{place}: its masks are colour-coded, and {classes.source.name} has no colours; add "
        f'"colors": {{NAME: "#rrggbb", ...}} to a {CLASSES_FILE}, or give masks with the indices '
        "of the classes."
    )


def _said(kind: str, coding: Coding, classes: Sequence[str]) -> str:
    how = {
        ("grey", False): "masks are read by their grey levels",
        ("palette", False): "palette masks are read by their indices, whatever their colours",
        ("palette", True): "palette masks are read by their colours, all of which belong to "
        "classes, and not by their indices",
    }.get((kind, coding.is_colour), "masks are read by their colours")
    shown = colour_text if coding.is_colour else str
    pairs = [f"{shown(value)} {classes[at]}" for value, at in coding.table if at != IGNORED]
    ignored = [shown(value) for value, at in coding.table if at == IGNORED]
    said = f"{how}: {listed(pairs, NOTED)}"
    if ignored:
        said += f"; {listed(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored"
    return f"{said}."
