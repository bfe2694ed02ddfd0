"""The annotation of one image: its class, its labels, its boxes, or its mask.

An annotation gives classes by their index in the data set's list of classes. Every task has its own
type of annotation; shared code uses only what `Annotation` lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from pplcnet.data.boxes import Boxes
from pplcnet.data.masks import Mask

__all__ = ["ABSENT", "PRESENT", "UNKNOWN", "Annotation", "Boxes", "ClassLabel", "Marks", "Mask"]

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""A mark: the label is shown, is not shown, or is unknown."""


class Annotation(Protocol):
    """What a user states about one image. Hashable; equal annotations state the same."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Indices of the classes that the image is known to show, ascending."""
        ...

    @property
    def unknown(self) -> tuple[int, ...]:
        """Indices of the classes that the image may or may not show."""
        ...

    def renumbered(self, place: Mapping[int, int], count: int) -> Self | None:
        """The annotation for another list of classes; None if nothing of it is left.

        Args:
            place: old index of a class to its new index; classes that are gone are missing.
            count: length of the new list.
        """
        ...

    @classmethod
    def are_contradictory(cls, said: Iterable[Self]) -> bool:
        """Whether these annotations cannot all be true of the same image."""
        ...

    def to_text(self, classes: Sequence[str]) -> str:
        """The names of what is shown, for messages."""
        ...

    def facts(self, classes: Sequence[str]) -> str:
        """The whole annotation with class names, for the data set's digest."""
        ...

    @classmethod
    def columns(cls, classes: Sequence[str]) -> list[str]:
        """Names of the columns that hold an annotation in a table such as split.csv."""
        ...

    @classmethod
    def classes_in(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """The class names in such a table; ValueError if it is not one.

        Args:
            columns: the table's columns except those that every table has (path, split, ...).
            rows: the cells in these columns.
        """
        ...

    def cells(self, classes: Sequence[str]) -> list[Any]:
        """The values in the annotation's columns."""
        ...

    @classmethod
    def from_cells(cls, cells: Sequence[str], classes: Sequence[str]) -> Self:
        """The inverse of `cells`, from text; ValueError for invalid text."""
        ...


@dataclass(frozen=True, slots=True)
class ClassLabel:
    """The one class that an image shows."""

    index: int

    @property
    def shown(self) -> tuple[int, ...]:
        """The class."""
        return (self.index,)

    @property
    def unknown(self) -> tuple[int, ...]:
        """Empty: an image with one class shows no other."""
        return ()

    def renumbered(self, place: Mapping[int, int], count: int) -> ClassLabel | None:
        """The class under its new index; None if that class is gone."""
        return ClassLabel(place[self.index]) if self.index in place else None

    @classmethod
    def are_contradictory(cls, said: Iterable[Self]) -> bool:
        """Whether they give more than one class."""
        return len({each.index for each in said}) > 1

    def to_text(self, classes: Sequence[str]) -> str:
        """The name of the class."""
        return classes[self.index]

    def facts(self, classes: Sequence[str]) -> str:
        """The name of the class."""
        return classes[self.index]

    @classmethod
    def columns(cls, classes: Sequence[str]) -> list[str]:
        """One column, for the class name."""
        return ["label"]

    @classmethod
    def classes_in(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """The names in the column, sorted."""
        if "label" not in columns:
            raise ValueError("it has no column 'label'")
        at = columns.index("label")
        return sorted({row[at] for row in rows})

    def cells(self, classes: Sequence[str]) -> list[Any]:
        """The name of the class."""
        return [classes[self.index]]

    @classmethod
    def from_cells(cls, cells: Sequence[str], classes: Sequence[str]) -> ClassLabel:
        """From the name of a class; ValueError for another name."""
        try:
            return cls(classes.index(cells[0]))
        except ValueError:
            raise ValueError(f"{cells[0][:40]!r} is not one of the classes") from None


@dataclass(frozen=True, slots=True)
class Marks:
    """Which of all labels an image shows."""

    values: tuple[int, ...]
    """PRESENT, ABSENT or UNKNOWN for each label."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Indices of the labels that are known to be shown."""
        return tuple(at for at, mark in enumerate(self.values) if mark == PRESENT)

    @property
    def unknown(self) -> tuple[int, ...]:
        """Indices of the labels marked as unknown."""
        return tuple(at for at, mark in enumerate(self.values) if mark == UNKNOWN)

    def renumbered(self, place: Mapping[int, int], count: int) -> Marks | None:
        """The marks in the new order; labels that are new are unknown."""
        values = [UNKNOWN] * count
        for old, new in place.items():
            values[new] = self.values[old]
        return Marks(tuple(values))

    @classmethod
    def are_contradictory(cls, said: Iterable[Self]) -> bool:
        """Whether a label is present in one and absent in another."""
        columns = zip(*(each.values for each in said), strict=True)
        return any({PRESENT, ABSENT} <= set(column) for column in columns)

    def to_text(self, classes: Sequence[str]) -> str:
        """The names of the labels that are shown."""
        return ";".join(classes[at] for at in self.shown) or "no label"

    def facts(self, classes: Sequence[str]) -> str:
        """Every label with its mark."""
        return ";".join(f"{name}={mark}" for name, mark in zip(classes, self.values, strict=True))

    @classmethod
    def columns(cls, classes: Sequence[str]) -> list[str]:
        """A column for each label."""
        return list(classes)

    @classmethod
    def classes_in(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """The names of the columns."""
        return list(columns)

    def cells(self, classes: Sequence[str]) -> list[Any]:
        """The marks, 1, 0 and -1."""
        return list(self.values)

    @classmethod
    def from_cells(cls, cells: Sequence[str], classes: Sequence[str]) -> Marks:
        """From 1, 0 and -1; ValueError for anything else."""
        values = tuple(map(int, cells))
        if len(values) != len(classes) or not set(values) <= {PRESENT, ABSENT, UNKNOWN}:
            raise ValueError(f"{', '.join(cells)[:40]!r} are not {len(classes)} times 1, 0 or -1")
        return cls(values)
