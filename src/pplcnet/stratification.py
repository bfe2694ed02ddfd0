"""Which photos to hold out so that every label's share is near on both sides."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["hold_out"]


def hold_out(
    shown: Sequence[frozenset[int]], labels: int, share: float, generator: random.Random
) -> set[int]:
    """Indices of about `share` of the photos, by iterative stratification.

    The rarest label goes first: its photos go, in random order, to the side that lacks most of
    that label, else most photos (Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of
    Multi-Label Data"). A label with two or more photos is wanted on both sides, which can fail for
    labels that come only together with rarer ones.

    Args:
        shown: the labels of every photo, as indices below `labels`.
    """
    members = [[at for at, own in enumerate(shown) if label in own] for label in range(labels)]
    wanted = [_wanted(len(each), share) for each in members]
    room = _wanted(len(shown), share)
    left = [len(each) for each in members]
    waiting = set(range(len(shown)))
    held_out: set[int] = set()

    def place(photo: int, lacking: list[int]) -> None:
        side = max((0, 1), key=lambda each: (lacking[each], room[each]))
        room[side] -= 1
        for label in shown[photo]:
            wanted[label][side] -= 1
            left[label] -= 1
        waiting.remove(photo)
        if side == 1:
            held_out.add(photo)

    while any(left):
        rarest = min((label for label in range(labels) if left[label]), key=left.__getitem__)
        chosen = [photo for photo in members[rarest] if photo in waiting]
        generator.shuffle(chosen)
        for photo in chosen:
            place(photo, wanted[rarest])
    rest = sorted(waiting)
    generator.shuffle(rest)
    for photo in rest:
        place(photo, room)
    return held_out


def _wanted(count: int, share: float) -> list[int]:
    """How many stay, and how many are held out: at least one each of two or more."""
    held = min(max(1, round(count * share)), count - 1) if count > 1 else 0
    return [count - held, held]
