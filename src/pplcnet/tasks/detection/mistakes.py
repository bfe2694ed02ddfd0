"""The boxes that a detector shows wrongly, and those that it misses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pplcnet.data.annotations import Boxes
from pplcnet.tasks.detection.pairing import Pairing
from pplcnet.tasks.detection.suppression import FoundBoxes

__all__ = ["BoxMistake", "mistakes_on"]

NO_CLASS = ""


class BoxMistake(NamedTuple):
    """A box that is shown but wrong, or a true box that is missed."""

    name: str
    """The name of the image."""
    kind: str
    """ "invented": no true box is there, or another box found it already; "mistaken": the true box
    is of another class; "missed"."""
    label: str
    """The true class; "" for none."""
    answer: str
    """The shown class; "" for none."""
    confidence: float | None
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """The box's area in pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    def to_text(self) -> str:
        """The mistake in one line."""
        place = ", ".join(f"{each:.0f}" for each in self[-4:])
        if self.kind == "missed":
            return f"{self.name}: {self.label} missed at {place}"
        there = f"where {self.label} was drawn" if self.kind == "mistaken" else "invented"
        return f"{self.name}: {self.answer} ({self.confidence:.3f}) at {place}, {there}"


def mistakes_on(
    images: Iterable[tuple[str, Boxes, FoundBoxes, Pairing]], classes: Sequence[str]
) -> list[BoxMistake]:
    """Wrong boxes, the most confident first; then missed ones, the largest first.

    Args:
        images: for each, its name, the true boxes, the shown boxes and their pairing.
    """
    wrong, missed = list[BoxMistake](), list[BoxMistake]()
    for name, boxes, shown, pairing in images:
        for at in np.flatnonzero(pairing.is_mistaken | pairing.is_invented).tolist():
            kind, label = "invented", NO_CLASS
            if pairing.partner[at] >= 0:
                kind = "mistaken"
                label = classes[int(boxes.classes[pairing.partner[at]])]
            answer = classes[int(shown.class_id[at])]
            confidence = float(shown.confidence[at])
            corners = map(float, shown.xyxy[at])
            wrong.append(BoxMistake(name, kind, label, answer, confidence, *corners))
        for at in np.flatnonzero(pairing.is_missed).tolist():
            label = classes[int(boxes.classes[at])]
            corners = map(float, boxes.xyxy[at])
            missed.append(BoxMistake(name, "missed", label, NO_CLASS, None, *corners))
    wrong.sort(key=lambda each: -(each.confidence or 0.0))
    return wrong + sorted(missed, key=lambda each: -each.area)
