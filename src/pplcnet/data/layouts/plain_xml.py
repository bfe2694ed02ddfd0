"""XML as elements with text: no document types, no entities, and size is bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

# Nothing of a document type is accepted below, so that no entity is ever expanded or fetched.
from xml.parsers import expat

from pplcnet.errors import DatasetError

__all__ = ["Element", "parse_xml"]

LARGEST_BYTES = 16 << 20
MAX_DEPTH = 16
MOST_ELEMENTS = 400_000


@dataclass(slots=True)
class Element:
    """An element, without its attributes."""

    name: str
    parts: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What stands directly in it."""
        return "".join(self.pieces).strip()

    def all(self, name: str) -> list[Element]:
        """The elements of this name directly in it."""
        return [each for each in self.parts if each.name == name]

    def text_of(self, *names: str) -> str:
        """The text of the first element at the end of a path of names; "" if there is none."""
        found = self
        for name in names:
            inner = found.all(name)
            if not inner:
                return ""
            found = inner[0]
        return found.text


def parse_xml(path: Path) -> Element:
    """The root of a file.

    Raises:
        DatasetError: it cannot be read, is not XML, is large, or has a document type. The message
            lacks the path, to stand in a list.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror or error})") from error
    if len(content) > LARGEST_BYTES:
        raise DatasetError(f"has more than {LARGEST_BYTES:,} bytes")
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.add
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.EntityDeclHandler = builder.refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise DatasetError(f"is not XML ({error})") from error
    return builder.root.parts[0]


class _Builder:
    def __init__(self) -> None:
        self.root = Element("")
        self._open = [self.root]
        self._number = 0

    def start(self, name: str, attributes: object) -> None:
        element = Element(name)
        self._number += 1
        if len(self._open) > MAX_DEPTH or self._number > MOST_ELEMENTS:
            raise DatasetError(
                f"nests elements more than {MAX_DEPTH} deep, or has more than {MOST_ELEMENTS:,}"
            )
        self._open[-1].parts.append(element)
        self._open.append(element)

    def end(self, name: str) -> None:
        self._open.pop()

    def add(self, text: str) -> None:
        self._open[-1].pieces.append(text)

    def refuse(self, *given: object) -> None:
        raise DatasetError("has a document type (<!DOCTYPE>), which is not read; remove it")
