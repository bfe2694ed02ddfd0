"""audit: open every image of a data set, and check it for what its task needs."""

from __future__ import annotations

from pplcnet.data.audit import Audit, audit_dataset
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import AUDIT_ALONE, Handover, OpeningProgress
from pplcnet.tasks import find

__all__ = ["audit"]


def audit(
    dataset: Dataset,
    *,
    workers: int | None = None,
    fingerprints: bool = False,
    progress: OpeningProgress = lambda opened, total: opened,
    handover: Handover = AUDIT_ALONE,
) -> Audit:
    """Decode every image once and compare them with each other.

    Args:
        workers: threads that decode; None for one on each core.
        fingerprints: also compute the fingerprints that near-duplicates are found by.
        progress: wraps the stream of opened images, given their total, for a progress bar.
        handover: receives every image that can be read.

    Raises:
        MissingDependencyError: `fingerprints` without imagehash.
    """
    return audit_dataset(
        dataset,
        find(dataset.task),
        workers=workers,
        fingerprints=fingerprints,
        progress=progress,
        handover=handover,
    )
