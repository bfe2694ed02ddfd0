"""Finds images with the same pixels among large ones that were decoded at reduced size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from pplcnet.data.image_facts import ImageFacts, digest_in_full
from pplcnet.system.parallel import Room, in_order

__all__ = ["compare_in_full"]

# libjpeg's reduced image and averaged squares of pixels differ by one or two levels.
OUTLINE_LEVELS = 4


def compare_in_full(
    facts: Mapping[Path, ImageFacts], workers: int | None = None
) -> dict[Path, ImageFacts]:
    """The facts, with digests of the full-size pixels wherever equality depends on them.

    A large JPEG was decoded at 1/2 to 1/8. It is decoded in full if another file has the same
    pixels at that scale, or if an image in another format looks like it. Copies of a file are equal
    without that.

    Args:
        workers: threads that decode; None for one on each core.
    """
    doubtful = list(_doubtful(facts))
    digests = in_order(partial(digest_in_full, room=Room()), doubtful, workers)
    by_content = {
        facts[path].content: digest
        for path, digest in zip(doubtful, digests, strict=True)
        if digest is not None
    }
    return {
        path: each._replace(pixels=by_content[each.content], is_whole=True)
        if not each.is_whole and each.content in by_content
        else each
        for path, each in facts.items()
    }


def _doubtful(facts: Mapping[Path, ImageFacts]) -> Iterator[Path]:
    """One path for each content that must be decoded in full."""
    firsts: dict[str, Path] = {}
    contents: dict[str, set[str]] = defaultdict(set)
    outlines: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for path, each in facts.items():
        if not each.is_whole:
            firsts.setdefault(each.content, path)
            contents[each.pixels].add(each.content)
        elif each.outline:
            outlines[each.width, each.height].append(each.outline)
    in_full = {
        size: np.frombuffer(b"".join(each), np.uint8).reshape(len(each), -1).astype(np.int16)
        for size, each in outlines.items()
    }
    for path in firsts.values():
        each = facts[path]
        others = in_full.get((each.width, each.height))
        if len(contents[each.pixels]) > 1:
            yield path
        elif others is not None:
            away = np.abs(others - np.frombuffer(each.outline, np.uint8)).max(axis=1)
            if away.min() <= OUTLINE_LEVELS:
                yield path
