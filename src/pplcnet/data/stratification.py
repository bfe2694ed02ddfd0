"""Chooses images to hold out so that every class has about the same share on both sides."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

__all__ = ["hold_out"]


def hold_out(
    shown: Sequence[tuple[int, ...]],
    groups: Sequence[Sequence[int]],
    share: float,
    generator: random.Random,
) -> set[int]:
    """Indices of about `share` of the images, chosen at random.

    If every image shows exactly one class, each class is split separately, and a class with two or
    more groups has images on both sides. Otherwise, iterative stratification splits all classes at
    once. The time is linear in the number of images.

    Args:
        shown: for every image, the indices of the classes that it shows.
        groups: indices of images that must stay on one side; every image is in one group.
        share: fraction to hold out, between 0 and 1.
    """
    if all(len(each) == 1 for each in shown):
        return _class_by_class([shown[group[0]][0] for group in groups], groups, share, generator)
    united = [frozenset(label for at in group for label in shown[at]) for group in groups]
    chosen = _iteratively(united, share, generator)
    return {at for each in chosen for at in groups[each]}


def _class_by_class(
    labels: Sequence[int],
    groups: Sequence[Sequence[int]],
    share: float,
    generator: random.Random,
) -> set[int]:
    """Indices of held-out images, class by class; `labels` has the class of every group."""
    members: dict[int, list[Sequence[int]]] = {label: [] for label in sorted(set(labels))}
    for group, label in zip(groups, labels, strict=True):
        members[label].append(group)
    held_out: set[int] = set()
    for of_class in members.values():
        generator.shuffle(of_class)
        held_out.update(_first(of_class, share))
    return held_out


def _first(groups: Sequence[Sequence[int]], share: float) -> list[int]:
    """The images of the first groups, about `share` of all; at least one group, never all."""
    if len(groups) < 2:
        return []
    total = sum(map(len, groups))
    wanted = min(max(1, round(total * share)), total - 1)
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) <= wanted:
            taken += group
    return taken or [*min(groups, key=len)]


def _iteratively(
    shown: Sequence[frozenset[int]], share: float, generator: random.Random
) -> set[int]:
    """Indices of about `share` of the groups, by iterative stratification.

    The rarest class goes first: its groups go, in random order, to the side that lacks the most of
    that class, or else the most groups (Sechidis, Tsoumakas and Vlahavas 2011, "On the
    Stratification of Multi-Label Data"). A class with two or more groups should be on both sides;
    this can fail for classes that only appear together with rarer ones.

    Args:
        shown: the classes of every group.
    """
    members = _members(shown)
    wanted = [_sides(len(each), share) for each in members]
    room = _sides(len(shown), share)
    left = [len(each) for each in members]
    # (number of waiting groups, class). Counts only fall, so an entry with an old count always
    # comes after the one with the new count, and is dropped.
    rarest_first = [(count, label) for label, count in enumerate(left) if count]
    heapq.heapify(rarest_first)
    waiting = set(range(len(shown)))
    held_out: set[int] = set()

    def place(group: int, lacking: list[int]) -> None:
        side = max((0, 1), key=lambda each: (lacking[each], room[each]))
        room[side] -= 1
        for label in shown[group]:
            wanted[label][side] -= 1
            left[label] -= 1
            if left[label]:
                heapq.heappush(rarest_first, (left[label], label))
        waiting.remove(group)
        if side == 1:
            held_out.add(group)

    while rarest_first:
        count, rarest = heapq.heappop(rarest_first)
        if count != left[rarest]:
            continue
        chosen = [group for group in members[rarest] if group in waiting]
        generator.shuffle(chosen)
        for group in chosen:
            place(group, wanted[rarest])
    rest = sorted(waiting)
    generator.shuffle(rest)
    for group in rest:
        place(group, room)
    return held_out


def _members(shown: Sequence[frozenset[int]]) -> list[list[int]]:
    """The groups of every class, ascending."""
    count = max((max(own) + 1 for own in shown if own), default=0)
    members: list[list[int]] = [[] for _ in range(count)]
    for group, own in enumerate(shown):
        for label in own:
            members[label].append(group)
    return members


def _sides(count: int, share: float) -> list[int]:
    """How many stay and how many are held out: at least one each, if there are two or more."""
    held = min(max(1, round(count * share)), count - 1) if count > 1 else 0
    return [count - held, held]
