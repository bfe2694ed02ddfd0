"""Which shown boxes are right and which true boxes are missed, for one image and threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import Boxes
from pplcnet.tasks.detection.suppression import FoundBoxes, overlaps

__all__ = ["IOU", "Pairing", "pair_boxes", "share_of_same", "shown_from"]

IOU = 0.5
"""The least IoU at which two boxes count as in the same place."""
NONE = -1


class Pairing(NamedTuple):
    """The D detected boxes of an image paired with its B true ones."""

    partner: NDArray[np.intp]
    """(D,): the index of each one's true box; -1 for none."""
    is_right: NDArray[np.bool_]
    """(D,): whether it is paired with a true box of its class."""
    is_ignored: NDArray[np.bool_]
    """(D,): whether it lies in a crowd and counts neither way."""
    is_missed: NDArray[np.bool_]
    """(B,): whether a true box, not a crowd, is paired with no box of its class or another."""

    @property
    def is_mistaken(self) -> NDArray[np.bool_]:
        """(D,): whether it is paired with a true box of another class."""
        return np.asarray((self.partner != NONE) & ~self.is_right)

    @property
    def is_invented(self) -> NDArray[np.bool_]:
        """(D,): whether it has no true box and lies in no crowd."""
        return np.asarray((self.partner == NONE) & ~self.is_ignored)

    @property
    def f1(self) -> float:
        """F1 of the image; 1 if there is no true box and nothing was detected."""
        right = int(self.is_right.sum())
        found = int((~self.is_ignored).sum())
        true = right + int(self.is_mistaken.sum()) + int(self.is_missed.sum())
        return 2 * right / (found + true) if found + true else 1.0


def shown_from(found: FoundBoxes, confidence: float) -> FoundBoxes:
    """The boxes with at least this confidence."""
    chosen = found.confidence >= confidence
    return FoundBoxes(found.xyxy[chosen], found.class_id[chosen], found.confidence[chosen])


def pair_boxes(truth: Boxes, found: FoundBoxes) -> Pairing:
    """Pair each detected box with the true one that it overlaps most, at an IoU of at least 0.5.

    The most confident choose first, each true box is used once, and pairs of the same class take
    precedence over those of different classes.
    """
    shared = overlaps(found.xyxy, truth.xyxy)
    shared[:, truth.is_crowd] = 0
    same = found.class_id[:, None] == truth.classes[None]
    partner = np.full(len(found.confidence), NONE, np.intp)
    order = np.argsort(-found.confidence, kind="stable").tolist()
    is_free = ~truth.is_crowd
    for is_allowed in (same, ~same):
        for at in order:
            if partner[at] != NONE or not len(is_free):
                continue
            values = np.where(is_free & is_allowed[at], shared[at], 0.0)
            best = int(values.argmax())
            if values[best] >= IOU:
                partner[at], is_free[best] = best, False
    crowd = truth.chosen(truth.is_crowd)
    inside = overlaps(found.xyxy, crowd.xyxy, of_one=True) >= IOU
    is_ignored = (inside & (found.class_id[:, None] == crowd.classes[None])).any(axis=1)
    is_right = (partner != NONE) & (
        found.class_id == np.append(truth.classes, NONE)[partner]  # the last for no partner
    )
    return Pairing(partner, is_right, is_ignored & (partner == NONE), is_free)


def share_of_same(one: Sequence[FoundBoxes], other: Sequence[FoundBoxes]) -> float:
    """The share of the images on which the same boxes are shown.

    They are the same if each is paired with one of its class, at an IoU of at least 0.5.
    """
    same = []
    for shown, expected in zip(one, other, strict=True):
        pairing = pair_boxes(Boxes.make(expected.xyxy, expected.class_id), shown)
        same.append(bool(pairing.is_right.all() and not pairing.is_missed.any()))
    return float(np.mean(same))
