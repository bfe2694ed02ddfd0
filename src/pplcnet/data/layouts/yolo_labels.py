"""YOLO's label files: which belongs to a photo, and the boxes in it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pplcnet.data.layouts.drawn_boxes import Drawn
from pplcnet.data.layouts.list_text import numbered_lines, read_text, shortened
from pplcnet.errors import DatasetError, printable

__all__ = ["LARGEST_BYTES", "LabelFiles"]

# What a number may be beyond 0 and 1, since tools round.
SLACK = 1e-3
LARGEST_BYTES = 64 << 20


class LabelFiles:
    """Reads label files, and counts what it met."""

    def __init__(self, names: Sequence[str], faults: list[str]) -> None:
        self.names = names
        self.faults = faults
        self.without: list[str] = []
        self.polygons = 0

    def drawn(self, photos: Iterable[Path], split: str | None) -> Iterator[Drawn]:
        """Photos with their boxes."""
        for photo in photos:
            file = _label_file(photo)
            boxes, names = list[list[float]](), list[str]()
            if file is None:
                self.without.append(printable(photo.name))
            else:
                for number, line in self._read(file):
                    found = self._box(f"{printable(file.name)} line {number}", line)
                    if found is not None:
                        names.append(self.names[found[0]])
                        boxes.append(found[1])
            crowd = [False] * len(boxes)
            place = printable((file or photo).name)
            yield Drawn(place, photo, split, boxes, names, crowd, is_relative=True)

    def _read(self, file: Path) -> list[tuple[int, str]]:
        try:
            if file.stat().st_size > LARGEST_BYTES:
                self.faults.append(f"{file.name}: has more than {LARGEST_BYTES:,} bytes")
                return []
            return numbered_lines(read_text(file))
        except (OSError, DatasetError) as error:
            self.faults.append(str(error))
            return []

    def _box(self, place: str, line: str) -> tuple[int, list[float]] | None:
        """The class and the corners; None where the line has a fault."""
        texts = line.split()
        label, values = texts[0], [_number(each) for each in texts[1:]]
        numbers = [each for each in values if each is not None]
        at = _index(label)
        if at is None or at >= len(self.names):
            self.faults.append(
                f"{place}: class {shortened(label)!r}; allowed are 0 to {len(self.names) - 1}"
            )
        elif len(numbers) < len(values) or not (
            len(numbers) == 4 or (len(numbers) >= 6 and len(numbers) % 2 == 0)
        ):
            self.faults.append(
                f"{place}: {shortened(line)!r} is not a class and four numbers (centre x, centre "
                "y, width, height), nor the corners of a polygon"
            )
        elif max(map(abs, numbers)) > 1 + SLACK:
            self.faults.append(
                f"{place}: {shortened(line)!r} has values above 1, which look like pixels; "
                "divide x and width by the photo's width, y and height by its height"
            )
        elif len(numbers) > 4:
            self.polygons += 1
            across, down = numbers[::2], numbers[1::2]
            return at, [min(across), min(down), max(across), max(down)]
        else:
            x, y, width, height = numbers
            return at, [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        return None


def _label_file(photo: Path) -> Path | None:
    name = f"{photo.stem}.txt"
    parts = list(photo.parts)
    places = [photo.with_name(name)]
    for at in reversed(range(len(parts) - 1)):
        if parts[at].lower() == "images":
            places.insert(0, Path(*parts[:at], "labels", *parts[at + 1 : -1], name))
            break
    return next((each for each in places if os.path.isfile(each)), None)


def _index(text: str) -> int | None:
    # Some tools write 3.0.
    whole = text.removesuffix(".0")
    return int(whole) if whole.isascii() and whole.isdecimal() and len(whole) < 6 else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
