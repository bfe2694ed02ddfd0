"""Which photos to hold out so that every class' or label's share is near on both sides."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

__all__ = ["hold_out", "hold_out_of_classes"]


def hold_out_of_classes(
    units: Sequence[Sequence[int]], labels: Sequence[int], share: float, generator: random.Random
) -> set[int]:
    """Indices of about `share` of each class' photos, at random; at least one of two units.

    Args:
        units: indices of photos that go to the same side.
        labels: the class of every unit.
    """
    members: dict[int, list[Sequence[int]]] = {label: [] for label in sorted(set(labels))}
    for unit, label in zip(units, labels, strict=True):
        members[label].append(unit)
    held_out: set[int] = set()
    for of_class in members.values():
        generator.shuffle(of_class)
        held_out.update(_share(of_class, share))
    return held_out


def _share(units: Sequence[Sequence[int]], share: float) -> list[int]:
    """The first units that together are about `share` of the images; at least one, never all."""
    if len(units) < 2:
        return []
    total = sum(map(len, units))
    wanted = min(max(1, round(total * share)), total - 1)
    taken: list[int] = []
    for unit in units:
        if len(taken) + len(unit) <= wanted:
            taken += unit
    return taken or [*min(units, key=len)]


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
    members = _members(shown, labels)
    wanted = [_wanted(len(each), share) for each in members]
    room = _wanted(len(shown), share)
    left = [len(each) for each in members]
    # How many photos of a label wait, and the label. Counts only fall, so that an entry whose
    # count is out of date always comes after a newer one, and is dropped.
    rarest_first = [(count, label) for label, count in enumerate(left) if count]
    heapq.heapify(rarest_first)
    waiting = set(range(len(shown)))
    held_out: set[int] = set()

    def place(photo: int, lacking: list[int]) -> None:
        side = max((0, 1), key=lambda each: (lacking[each], room[each]))
        room[side] -= 1
        for label in shown[photo]:
            wanted[label][side] -= 1
            left[label] -= 1
            if left[label]:
                heapq.heappush(rarest_first, (left[label], label))
        waiting.remove(photo)
        if side == 1:
            held_out.add(photo)

    while rarest_first:
        count, rarest = heapq.heappop(rarest_first)
        if count != left[rarest]:
            continue
        chosen = [photo for photo in members[rarest] if photo in waiting]
        generator.shuffle(chosen)
        for photo in chosen:
            place(photo, wanted[rarest])
    rest = sorted(waiting)
    generator.shuffle(rest)
    for photo in rest:
        place(photo, room)
    return held_out


def _members(shown: Sequence[frozenset[int]], labels: int) -> list[list[int]]:
    """The photos of every label, ascending."""
    members: list[list[int]] = [[] for _ in range(labels)]
    for photo, own in enumerate(shown):
        for label in own:
            members[label].append(photo)
    return members


def _wanted(count: int, share: float) -> list[int]:
    """How many stay, and how many are held out: at least one each of two or more."""
    held = min(max(1, round(count * share)), count - 1) if count > 1 else 0
    return [count - held, held]
