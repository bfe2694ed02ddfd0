"""Open every image of a data set and report all its faults in one message."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from pplcnet.data.audit_notes import notes_on
from pplcnet.data.dataset import Dataset, LabelledImage, find_images
from pplcnet.data.image_facts import Look, LookProgress, Sight, look_at_each, raise_changed
from pplcnet.data.image_files import PassedOver
from pplcnet.errors import DatasetError, ImageError
from pplcnet.system.wording import counted, listed

__all__ = [
    "Audit",
    "AuditRules",
    "Fault",
    "Unlabelled",
    "audit_dataset",
    "audit_unlabelled",
    "contradict",
    "leave_out_broken",
    "names_of",
]

# Where copies of a picture lie in several splits, the evaluation's copy is the one to keep: what
# was trained on must not be counted as unseen.
NAMED = 10
KEPT_FIRST = {"test": 0, "validation": 1, "train": 2, None: 3}


class AuditRules(Protocol):
    """What a task adds to an audit; a `pplcnet.tasks.task.Task` is one."""

    @property
    def faults(self) -> Callable[[Dataset], Iterable[Fault]]:
        """What makes a data set unfit for the task."""
        ...

    @property
    def notes(self) -> Callable[[Dataset], Iterable[str]]:
        """What is worth knowing and no reason to stop, a sentence each."""
        ...


class Fault(NamedTuple):
    """Something that makes a data set unfit, and the images that are left out to fix it."""

    kind: str
    """"unreadable", "two labels", "two splits", "empty class" or "one image"."""
    text: str
    left_out: tuple[LabelledImage, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What was found."""

    dataset: Dataset
    faults: tuple[Fault, ...]
    """Each stops a training run unless the images in question are left out."""
    notes: tuple[str, ...]
    """Worth knowing, and no reason to stop: imbalance, copies within a class."""
    digest: str
    """sha256 over the names, labels and contents of all images that can be read."""
    sights: Mapping[Path, Sight] = field(default_factory=dict)
    """Of every image that can be read, by its path in the data set."""

    @property
    def copies(self) -> list[list[Path]]:
        """Paths of the images that are the same picture, of each picture that is there twice."""
        groups: dict[str, list[Path]] = defaultdict(list)
        for path, sight in self.sights.items():
            groups[sight.pixels].append(path)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def contents(self) -> dict[Path, str]:
        """sha256 of every image that can be read, by its path."""
        return {path: sight.content for path, sight in self.sights.items()}

    def raise_faults(self) -> None:
        """DatasetError with every fault, if there are any."""
        if self.faults:
            raise DatasetError(
                f"{self.dataset.root}: {counted(len(self.faults), 'fault')} in "
                f"{counted(len(self.dataset), 'image')}; fix them, or leave those files out with "
                "--skip-broken:",
                [fault.text for fault in self.faults],
            )

    def raise_changed(self) -> None:
        """DatasetError when photos are not what they were when they were audited."""
        raise_changed(self.dataset.root, self.sights)

    def without_faults(self) -> Dataset:
        """The data set less the images that the faults concern, and less classes left empty.

        In multi-label data, a label that is on fewer than two photos goes, not the photo.
        """
        # Not their paths: a table may list a file twice, and only one entry be at fault.
        left_out = {image for fault in self.faults for image in fault.left_out}
        kept = [image for image in self.dataset.images if image not in left_out]
        part = self.dataset.keep(kept)
        counts, to_train_on = part.class_counts(), _to_train_on(part).class_counts()
        # Leaving broken files out can leave a class with a single image, which goes as well.
        remaining = [
            label for label, count in enumerate(counts) if count > 1 and to_train_on[label]
        ]
        if len(remaining) < 2:
            raise DatasetError(
                f"{self.dataset.root}: fewer than two classes are left without the "
                f"{counted(len(left_out), 'image')} that the audit found at fault."
            )
        part = replace(part, split_seed=None, notes=())
        return part.with_classes([self.dataset.classes[label] for label in remaining])


class Unlabelled(NamedTuple):
    """Photos without classes, as they were found."""

    images: tuple[Path, ...]
    """Those that can be learned from: readable, and no copies of the labelled ones."""
    broken: tuple[ImageError, ...]
    copies: int
    """How many are the same picture as a labelled one, and are left out."""
    digest: str
    """sha256 over the contents of `images`, in their order."""
    sights: Mapping[Path, Sight]
    """Of `images`, by path."""
    notes: tuple[str, ...] = ()
    """A sentence each on files in the folder that were not taken."""

    def raise_changed(self) -> None:
        """DatasetError when photos are not what they were when they were audited."""
        if self.images:
            raise_changed(self.images[0].parent, self.sights)


def audit_dataset(
    dataset: Dataset,
    rules: AuditRules,
    *,
    workers: int | None = None,
    fingerprints: bool = False,
    progress: LookProgress = lambda looks, total: looks,
) -> Audit:
    """Decode every image once and compare them with each other.

    Args:
        rules: of the data set's task.
        workers: threads that decode; None for one on each core.
        fingerprints: also compute what near-duplicates are found with.
        progress: wraps the stream of looks (and gets their number), for a progress bar.

    Raises:
        MissingDependencyError: `fingerprints` without imagehash.
    """
    looks = look_at_each([image.path for image in dataset.images], workers, progress, fingerprints)
    seen = list(zip(dataset.images, looks, strict=True))
    faults = [
        Fault("unreadable", f"unreadable: {_relative(dataset, look.error)}", (image,))
        for image, look in seen
        if look.error is not None
    ]
    groups: dict[str, list[LabelledImage]] = defaultdict(list)
    for image, look in seen:
        if look.error is None:
            groups[look.sight.pixels].append(image)
    repeated = [group for group in groups.values() if len(group) > 1]
    faults += [fault for group in repeated for fault in _repetition_faults(dataset, group)]
    faults += rules.faults(dataset)
    return Audit(
        dataset,
        tuple(faults),
        (*dataset.notes, *notes_on(dataset, repeated), *rules.notes(dataset)),
        _digest(dataset, seen),
        {image.path: look.sight for image, look in seen if look.error is None},
    )


def leave_out_broken(
    dataset: Dataset,
    *,
    workers: int | None = None,
    progress: LookProgress = lambda looks, total: looks,
) -> tuple[Dataset, list[str]]:
    """The data set less the images that cannot be read, and a line for each of those."""
    looks = look_at_each([image.path for image in dataset.images], workers, progress)
    seen = list(zip(dataset.images, looks, strict=True))
    broken = [_relative(dataset, look.error) for _, look in seen if look.error is not None]
    return dataset.keep(image for image, look in seen if look.error is None), broken


def audit_unlabelled(
    folder: Path,
    labelled: Audit,
    *,
    workers: int | None = None,
    progress: LookProgress = lambda looks, total: looks,
) -> Unlabelled:
    """Open every photo of a folder without classes, and leave out what is among the labelled.

    A copy of a test photo would be learned from; one of a training photo teaches nothing new.

    Raises:
        DatasetError: no photos in the folder, or folders in it that cannot be read.
    """
    passed_over = PassedOver()
    paths = list(find_images(folder, passed_over))
    passed_over.raise_unreadable(folder)
    if not paths:
        raise DatasetError(
            f"{folder}: no photos there; give a folder of photos without classes.",
            passed_over.notes(),
        )
    looks = look_at_each(paths, workers, progress)
    known = {sight.pixels for sight in labelled.sights.values()}
    seen = list(zip(paths, looks, strict=True))
    readable = [(path, look) for path, look in seen if look.error is None]
    kept = [(path, look) for path, look in readable if look.sight.pixels not in known]
    return Unlabelled(
        tuple(path for path, _ in kept),
        tuple(look.error for _, look in seen if look.error is not None),
        len(readable) - len(kept),
        sha256("".join(look.sight.content for _, look in kept).encode()).hexdigest(),
        {path: look.sight for path, look in kept},
        tuple(passed_over.notes()),
    )


def _relative(dataset: Dataset, error: ImageError) -> str:
    name = os.path.relpath(error.source, dataset.root).replace(os.sep, "/")
    return f"{name}: {error.reason}"


def _repetition_faults(dataset: Dataset, group: Sequence[LabelledImage]) -> Iterable[Fault]:
    splits = {image.split for image in group}
    names = names_of(dataset, group)
    if contradict(group):
        # Nobody but the owner can say which label is right, so no copy is kept.
        yield Fault("two labels", f"the same picture with two labels: {names}", tuple(group))
    elif len(splits) > 1:
        kept = min(splits, key=lambda split: KEPT_FIRST[split])
        others = tuple(image for image in group if image.split != kept)
        yield Fault("two splits", f"the same picture in two splits: {names}", others)


def names_of(dataset: Dataset, group: Sequence[LabelledImage]) -> str:
    """The images with their labels; of many, some, among them one of every label and split."""
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
    """Whether copies of a picture say different things; an unknown label contradicts nothing."""
    said = {image.annotation for image in group}
    return type(group[0].annotation).are_contradictory(said)


def _to_train_on(dataset: Dataset) -> Dataset:
    return dataset.keep(image for image in dataset.images if image.split in ("train", None))


def _digest(dataset: Dataset, seen: Sequence[tuple[LabelledImage, Look]]) -> str:
    total = sha256()
    named = [(dataset.name_of(image), image, look) for image, look in seen if look.error is None]
    for name, image, look in sorted(named, key=lambda each: each[0]):
        total.update(
            f"{name}\0{image.annotation.facts(dataset.classes)}\0{look.sight.content}\n".encode()
        )
    return total.hexdigest()
