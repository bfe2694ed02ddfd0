"""Open every image of a data set and report all its faults in one message."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.audit_notes import notes_on
from pplcnet.data.dataset import MULTI, Dataset, LabelledImage, find_images
from pplcnet.data.image_facts import Look, LookProgress, Sight, look_at_each, raise_changed
from pplcnet.data.image_files import PassedOver
from pplcnet.data.layouts.csv_table import ABSENT, PRESENT, UNKNOWN
from pplcnet.errors import DatasetError, ImageError
from pplcnet.system.wording import counted, listed

__all__ = [
    "Audit",
    "Fault",
    "Unlabelled",
    "audit",
    "audit_unlabelled",
    "contradict",
    "label_text",
    "leave_out_broken",
    "names_of",
]

# Where copies of a picture lie in several splits, the evaluation's copy is the one to keep: what
# was trained on must not be counted as unseen.
NAMED = 10
KEPT_FIRST = {"test": 0, "validation": 1, "train": 2, None: 3}


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
            label
            for label, count in enumerate(counts)
            if count > 1 and (to_train_on[label] or self.dataset.task != MULTI)
        ]
        place = {label: index for index, label in enumerate(remaining)}
        if len(remaining) < 2:
            raise DatasetError(
                f"{self.dataset.root}: fewer than two classes are left without the "
                f"{counted(len(left_out), 'image')} that the audit found at fault."
            )
        return Dataset(
            self.dataset.root,
            tuple(self.dataset.classes[label] for label in remaining),
            tuple(
                LabelledImage(
                    image.path,
                    place.get(image.label, -1),
                    image.split,
                    tuple(image.marks[label] for label in remaining if image.marks),
                )
                for image in kept
                if image.marks or image.label in place
            ),
            task=self.dataset.task,
        )


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


def audit(
    dataset: Dataset,
    *,
    workers: int | None = None,
    fingerprints: bool = False,
    progress: LookProgress = lambda looks, total: looks,
) -> Audit:
    """Decode every image once and compare them with each other.

    Args:
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
    faults += _class_faults(dataset)
    return Audit(
        dataset,
        tuple(faults),
        (*dataset.notes, *notes_on(dataset, repeated)),
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
        leaders = {(image.label, image.marks, image.split): image for image in reversed(group)}
        first = sorted(leaders.values(), key=dataset.name_of)
        shown = set(first)
        group = [*first, *(image for image in group if image not in shown)]
    texts = [f"{dataset.name_of(image)} ({label_text(dataset, image)})" for image in group]
    return listed(texts, NAMED)


def label_text(dataset: Dataset, image: LabelledImage) -> str:
    """What an image is labelled as, in names."""
    return ";".join(dataset.classes[label] for label in image.shown) or "no label"


def contradict(group: Sequence[LabelledImage]) -> bool:
    """Whether copies of a picture say different things; an unknown label contradicts nothing."""
    if len({image.label for image in group}) > 1:
        return True
    known = [set(each) - {UNKNOWN} for each in zip(*(i.marks for i in group), strict=True)]
    return {PRESENT, ABSENT} in known


def _to_train_on(dataset: Dataset) -> Dataset:
    return dataset.keep(image for image in dataset.images if image.split in ("train", None))


def _label_faults(dataset: Dataset) -> Iterable[Fault]:
    """Labels that cannot be learned, where a photo may have several."""
    to_train_on = _to_train_on(dataset).class_counts()
    counts = dataset.class_counts()
    for label, (name, count) in enumerate(zip(dataset.classes, counts, strict=True)):
        if count < 2:
            kind, photos = ("one image", "one photo") if count else ("empty class", "no photo")
            yield Fault(kind, f"label {name!r} is on {photos}; it has to be on at least two")
        elif dataset.has_splits and not to_train_on[label]:
            yield Fault(
                "empty class", f"nothing to train on: label {name!r} is on no photo in train"
            )


def _class_faults(dataset: Dataset) -> Iterable[Fault]:
    if dataset.task == MULTI:
        yield from _label_faults(dataset)
        return
    members: list[list[LabelledImage]] = [[] for _ in dataset.classes]
    for image in dataset.images:
        members[image.label].append(image)
    for name, images in zip(dataset.classes, members, strict=True):
        if not images:
            yield Fault("empty class", f"empty class: {name!r} has no images")
        elif len(images) == 1:
            text = f"class with one image: {name!r} has only {dataset.name_of(images[0])}"
            yield Fault("one image", text, tuple(images))
        elif dataset.has_splits and not any(each.split in ("train", None) for each in images):
            text = f"nothing to train on: class {name!r} has no images in train"
            yield Fault("empty class", text, tuple(images))


def _digest(dataset: Dataset, seen: Sequence[tuple[LabelledImage, Look]]) -> str:
    total = sha256()
    named = [(dataset.name_of(image), image, look) for image, look in seen if look.error is None]
    for name, image, look in sorted(named, key=lambda each: each[0]):
        total.update(f"{name}\0{_said(dataset, image)}\0{look.sight.content}\n".encode())
    return total.hexdigest()


def _said(dataset: Dataset, image: LabelledImage) -> str:
    """All that the data set says of an image, in names."""
    if not image.marks:
        return dataset.classes[image.label]
    return ";".join(f"{name}={m}" for name, m in zip(dataset.classes, image.marks, strict=True))
