"""Open every image of a data set and report all its faults in one message."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from pplcnet.data.audit_notes import notes_on
from pplcnet.data.copies import compare_in_full
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.image_facts import (
    AUDIT_ALONE,
    Handover,
    ImageFacts,
    Opened,
    OpeningProgress,
    open_each,
    raise_changed,
)
from pplcnet.errors import DatasetError, ImageError
from pplcnet.system.wording import counted, listed

__all__ = [
    "Audit",
    "AuditRules",
    "Fault",
    "audit_dataset",
    "contradict",
    "leave_out_broken",
    "names_of",
]

NAMED = 10
# If copies of an image are in several splits, the copy for evaluation is kept: what was trained on
# must not count as unseen.
KEPT_FIRST = {"test": 0, "validation": 1, "train": 2, None: 3}


class AuditRules(Protocol):
    """What a task adds to an audit; a `pplcnet.tasks.task.Task` is one."""

    @property
    def noun(self) -> str:
        """The task's word for a class."""
        ...

    @property
    def faults(self) -> Callable[[Dataset], Iterable[Fault]]:
        """Finds what makes a data set unfit for the task."""
        ...

    @property
    def notes(self) -> Callable[[Dataset], Iterable[str]]:
        """Remarks that are no reason to stop, one sentence each."""
        ...


class Fault(NamedTuple):
    """Something that makes a data set unfit, and what is left out to fix it."""

    kind: str
    """"unreadable", "two labels", "two splits", "empty class", "one image", or a task's own."""
    text: str
    left_out: tuple[LabelledImage, ...] = ()
    """The images that are dropped."""
    mended: tuple[tuple[LabelledImage, LabelledImage], ...] = ()
    """Images that keep a part of their annotation: before and after. An image is mended for all its
    faults at once."""


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    dataset: Dataset
    faults: tuple[Fault, ...]
    """Each of them stops a training run unless the images in question are left out."""
    notes: tuple[str, ...]
    """Remarks that are no reason to stop: imbalance, copies within a class."""
    digest: str
    """sha256 over the names, labels and contents of all readable images."""
    facts: Mapping[Path, ImageFacts] = field(default_factory=dict)
    """Facts about every readable image, by its path in the data set."""
    noun: str = "class"
    """The task's word for a class."""

    @property
    def copies(self) -> list[list[Path]]:
        """Paths of images with the same pixels, one list for each group of copies."""
        groups: dict[str, list[Path]] = defaultdict(list)
        for path, facts in self.facts.items():
            groups[facts.pixels].append(path)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def contents(self) -> dict[Path, str]:
        """sha256 of every readable image, by its path."""
        return {path: facts.content for path, facts in self.facts.items()}

    def raise_faults(self) -> None:
        """Raise DatasetError with every fault, if there are any."""
        if self.faults:
            raise DatasetError(
                f"{self.dataset.place}: {counted(len(self.faults), 'fault')} in "
                f"{counted(len(self.dataset), 'image')}; fix them{self._way_out()}:",
                [fault.text for fault in self.faults],
            )

    def _way_out(self) -> str:
        """How to train without fixing the faults; "" if that is impossible."""
        remaining, _ = self._remaining()
        if len(remaining) < min(2, len(self.dataset.classes)):
            return ""
        of_files = any(fault.left_out for fault in self.faults)
        of_labels = any(fault.mended for fault in self.faults)
        of_classes = not all(fault.left_out or fault.mended for fault in self.faults)
        what = ["files"] * of_files + ["labels"] * of_labels + [_several(self.noun)] * of_classes
        return f", or leave those {' and '.join(what)} out with --skip-broken"

    def raise_changed(self) -> None:
        """Raise DatasetError if images have changed since they were audited."""
        raise_changed(self.dataset.place, self.dataset.root, self.facts)

    def without_faults(self) -> Dataset:
        """The data set without faulty images and without classes that cannot be learned.

        A class needs two images, one of them for training. An image that also shows other classes
        loses only the class.

        Raises:
            DatasetError: fewer than two of the classes are left.
        """
        remaining, part = self._remaining()
        if len(remaining) < min(2, len(self.dataset.classes)):
            raise DatasetError(
                f"{self.dataset.place}: fewer than two {_several(self.noun)} would be left without "
                f"what is at fault; fix {counted(len(self.faults), 'fault')}:",
                [fault.text for fault in self.faults],
            )
        return part.with_classes(remaining)

    def _remaining(self) -> tuple[list[str], Dataset]:
        """The classes that can be learned without the faulty images, and the images to keep."""
        # Not by path: a table may list a file twice, and only one entry may be at fault.
        left_out = {image for fault in self.faults for image in fault.left_out}
        mended = {before: after for fault in self.faults for before, after in fault.mended}
        part = self.dataset.keep(
            mended.get(each, each) for each in self.dataset.images if each not in left_out
        )
        counted_in = zip(part.class_counts(), _to_train_on(part).class_counts(), strict=True)
        # A class can lose all but one of its images here, which the audit's faults do not show.
        is_left = [images > 1 and to_train_on > 0 for images, to_train_on in counted_in]
        classes = zip(part.classes, is_left, strict=True)
        return [name for name, is_one in classes if is_one], part


def audit_dataset(
    dataset: Dataset,
    rules: AuditRules,
    *,
    workers: int | None = None,
    fingerprints: bool = False,
    progress: OpeningProgress = lambda opened, total: opened,
    handover: Handover = AUDIT_ALONE,
) -> Audit:
    """Decode every image once and compare them with each other.

    Args:
        rules: those of the data set's task.
        workers: threads that decode; None for one on each core.
        fingerprints: also compute the fingerprints that near-duplicates are found by.
        progress: wraps the stream of opened images, given their total, for a progress bar.
        handover: receives every readable image.

    Raises:
        MissingDependencyError: `fingerprints` without imagehash.
    """
    paths = [image.path for image in dataset.images]
    opened = open_each(paths, workers, progress, fingerprints=fingerprints, handover=handover)
    errors = [(image, each.error) for image, each in zip(dataset.images, opened, strict=True)]
    faults = [
        Fault("unreadable", f"unreadable: {_relative(dataset, error)}", (image,))
        for image, error in errors
        if error is not None
    ]
    readable = _readable(dataset, opened)
    settled = compare_in_full({image.path: facts for image, facts in readable}, workers)
    readable = [(image, settled[image.path]) for image, _ in readable]
    groups: dict[str, list[LabelledImage]] = defaultdict(list)
    for image, facts in readable:
        groups[facts.pixels].append(image)
    repeated = [group for group in groups.values() if len(group) > 1]
    faults += [fault for group in repeated for fault in _repetition_faults(dataset, group)]
    faults += rules.faults(dataset)
    return Audit(
        dataset,
        tuple(faults),
        (*dataset.notes, *notes_on(dataset, repeated), *rules.notes(dataset)),
        _digest(dataset, readable),
        {image.path: facts for image, facts in readable},
        rules.noun,
    )


def leave_out_broken(
    dataset: Dataset,
    *,
    workers: int | None = None,
    progress: OpeningProgress = lambda opened, total: opened,
) -> tuple[Dataset, list[str]]:
    """The data set without unreadable images, and one line for each of those."""
    opened = open_each([image.path for image in dataset.images], workers, progress)
    broken = [_relative(dataset, each.error) for each in opened if each.error is not None]
    return dataset.keep(image for image, _ in _readable(dataset, opened)), broken


def _several(noun: str) -> str:
    return counted(2, noun).split(" ", 1)[1]


def _readable(dataset: Dataset, opened: Sequence[Opened]) -> list[tuple[LabelledImage, ImageFacts]]:
    pairs = zip(dataset.images, opened, strict=True)
    return [(image, each.facts) for image, each in pairs if each.error is None]


def _relative(dataset: Dataset, error: ImageError) -> str:
    name = os.path.relpath(error.source, dataset.root).replace(os.sep, "/")
    return f"{name}: {error.reason}"


def _repetition_faults(dataset: Dataset, group: Sequence[LabelledImage]) -> Iterable[Fault]:
    splits = {image.split for image in group}
    names = names_of(dataset, group)
    if contradict(group):
        # Only the owner can tell which label is right, so no copy is kept.
        yield Fault("two labels", f"the same photo with two labels: {names}", tuple(group))
    elif len(splits) > 1:
        kept = min(splits, key=lambda split: KEPT_FIRST[split])
        others = tuple(image for image in group if image.split != kept)
        yield Fault("two splits", f"the same photo in two splits: {names}", others)


def names_of(dataset: Dataset, group: Sequence[LabelledImage]) -> str:
    """The images with their labels; of many images, a few that cover every label and split."""
    if len(group) > NAMED:
        leaders = {(image.annotation, image.split): image for image in reversed(group)}
        first = sorted(leaders.values(), key=dataset.name_of)
        shown = set(first)
        group = [*first, *(image for image in group if image not in shown)]
    texts = [
        f"{dataset.name_of(image)} ({image.annotation.to_text(dataset.classes)})" for image in group
    ]
    return listed(texts, NAMED)


def contradict(group: Sequence[LabelledImage]) -> bool:
    """Whether the annotations of an image's copies cannot all be true."""
    said = {image.annotation for image in group}
    return type(group[0].annotation).are_contradictory(said)


def _to_train_on(dataset: Dataset) -> Dataset:
    return dataset.keep(image for image in dataset.images if image.split in ("train", None))


def _digest(dataset: Dataset, readable: Sequence[tuple[LabelledImage, ImageFacts]]) -> str:
    total = sha256()
    named = [(dataset.name_of(image), image, facts) for image, facts in readable]
    for name, image, facts in sorted(named, key=lambda each: each[0]):
        said = image.annotation.facts(dataset.classes)
        total.update(f"{name}\0{said}\0{facts.content}\n".encode())
    return total.hexdigest()
