"""An audit's remarks that are no reason to stop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.system.wording import counted, listed

__all__ = ["notes_on"]

IMBALANCE_NOTED_FROM = 10
ABSENT_NAMED = 8


def notes_on(dataset: Dataset, repeated: Sequence[Sequence[LabelledImage]]) -> Iterable[str]:
    """One sentence per remark; `repeated` are groups of images with the same pixels."""
    counts = [
        (count, name)
        for count, name in zip(dataset.class_counts(), dataset.classes, strict=True)
        if count
    ]
    most, least = max(counts, default=(0, "")), min(counts, default=(1, ""))
    if most[0] >= IMBALANCE_NOTED_FROM * least[0]:
        yield (
            f"imbalance: {most[1]!r} has {counted(most[0], 'image')}, {least[1]!r} has "
            f"{least[0]}; rare classes will be recognised less well."
        )
    copies = sum(
        len(group) - 1
        for group in repeated
        if len({(image.annotation, image.split) for image in group}) == 1
    )
    if copies:
        are = "is an exact copy" if copies == 1 else "are exact copies"
        yield (
            f"{counted(copies, 'image')} {are} of another in the same class and split; copies "
            "stay together when splits are drawn."
        )
    differing = [group for group in repeated if _differ(group)]
    if differing:
        names = listed([" = ".join(map(dataset.name_of, group)) for group in differing])
        yield (
            f"{counted(len(differing), 'photo')} {'is' if len(differing) == 1 else 'are'} there as "
            f"exact copies with different but compatible labels: {names}."
        )
    yield from _absence_notes(dataset)


def _differ(group: Sequence[LabelledImage]) -> bool:
    """Whether copies are annotated differently but not contradictorily, as with other boxes."""
    said = {image.annotation for image in group}
    return len(said) > 1 and not type(group[0].annotation).are_contradictory(said)


def _absence_notes(dataset: Dataset) -> Iterable[str]:
    """Classes that the figures do not cover, because the split has no images of them."""
    for split in ("validation", "test"):
        part = dataset.subset(split)
        counts = zip(dataset.class_counts(), part.class_counts(), dataset.classes, strict=True)
        absent = [repr(name) for whole, there, name in counts if whole and not there]
        if len(part) and absent:
            names = ", ".join(absent[:ABSENT_NAMED])
            more = f" and {len(absent) - ABSENT_NAMED} more" if len(absent) > ABSENT_NAMED else ""
            yield f"{split} has no photos of {names}{more}: the figures say nothing about them."
