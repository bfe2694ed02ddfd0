"""Images without labels: opens every one, and leaves out copies of labelled ones."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.audit import Audit
from pplcnet.data.copies import compare_in_full
from pplcnet.data.image_facts import (
    AUDIT_ALONE,
    Handover,
    ImageFacts,
    OpeningProgress,
    open_each,
    raise_changed,
)
from pplcnet.data.image_files import PassedOver, find_images
from pplcnet.errors import DatasetError, ImageError

__all__ = ["Unlabelled", "audit_unlabelled"]


class Unlabelled(NamedTuple):
    """The usable images without labels."""

    images: tuple[Path, ...]
    """Images to learn from: readable, and not copies of labelled ones."""
    broken: tuple[ImageError, ...]
    copies: int
    """The number of images left out because a labelled one has the same pixels."""
    digest: str
    """sha256 over the contents of `images`, in their order."""
    facts: Mapping[Path, ImageFacts]
    """Facts about `images`, by path."""
    notes: tuple[str, ...] = ()
    """One sentence each about files in the folder that were not used."""

    def raise_changed(self) -> None:
        """Raise DatasetError if images have changed since they were audited."""
        if self.images:
            folder = self.images[0].parent
            raise_changed(folder, folder, self.facts)


def audit_unlabelled(
    folder: Path,
    labelled: Audit,
    *,
    workers: int | None = None,
    progress: OpeningProgress = lambda opened, total: opened,
    handover: Handover = AUDIT_ALONE,
) -> Unlabelled:
    """Open every image of a folder without classes; leave out copies of labelled ones.

    A copy of a test image would leak into training; one of a training image adds nothing.

    Raises:
        DatasetError: no images in the folder, or folders in it that cannot be read.
    """
    passed_over = PassedOver()
    paths = list(find_images(folder, passed_over))
    passed_over.raise_unreadable(folder)
    if not paths:
        raise DatasetError(
            f"{folder}: no photos there; give a folder of unlabelled photos.",
            passed_over.notes(),
        )
    opened = open_each(paths, workers, progress, handover=handover)
    found = {
        path: each.facts for path, each in zip(paths, opened, strict=True) if each.error is None
    }
    settled = compare_in_full({**labelled.facts, **found}, workers)
    known = {settled[path].pixels for path in labelled.facts}
    readable = {path: settled[path] for path in found}
    kept = {path: facts for path, facts in readable.items() if facts.pixels not in known}
    return Unlabelled(
        tuple(kept),
        tuple(each.error for each in opened if each.error is not None),
        len(readable) - len(kept),
        sha256("".join(facts.content for facts in kept.values()).encode()).hexdigest(),
        kept,
        tuple(passed_over.notes()),
    )
