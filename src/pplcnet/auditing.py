"""Open every image of a data set and report all its faults in one message."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b, sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.audit_notes import notes_on
from pplcnet.dataset import MULTI, Dataset, LabelledImage, find_images
from pplcnet.decoding import decode
from pplcnet.errors import DatasetError, ImageError
from pplcnet.similarity import fingerprint
from pplcnet.tables import ABSENT, PRESENT, UNKNOWN

__all__ = [
    "Audit",
    "Fault",
    "Sight",
    "Unlabelled",
    "audit",
    "audit_unlabelled",
    "contradict",
    "label_text",
    "leave_out_broken",
]

# Where copies of a picture lie in several splits, the evaluation's copy is the one to keep: what
# was trained on must not be counted as unseen.
KEPT_FIRST = {"test": 0, "validation": 1, "train": 2, None: 3}


class Fault(NamedTuple):
    """Something that makes a data set unfit, and the images that are left out to mend it."""

    kind: str
    """"unreadable", "two labels", "two splits", "empty class" or "one image"."""
    text: str
    left_out: tuple[LabelledImage, ...] = ()


class Sight(NamedTuple):
    """What a readable picture looks like."""

    width: int
    """Of the upright picture, in pixels."""
    height: int
    pixels: str
    """Digest of the decoded picture: equal for the same picture under another name or EXIF."""
    fingerprint: NDArray[np.uint64] | None = None
    """As `pplcnet.similarity.fingerprint`; None unless it was asked for."""


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

    def raise_faults(self) -> None:
        """DatasetError with every fault, if there are any."""
        if self.faults:
            count = len(self.faults)
            raise DatasetError(
                f"{self.dataset.root}: {count} fault{'s' * (count > 1)} in "
                f"{len(self.dataset)} images; mend them, or leave those files out with "
                "--skip-broken:",
                [fault.text for fault in self.faults],
            )

    def without_faults(self) -> Dataset:
        """The data set less the images that the faults concern, and less classes left empty.

        Of several labels a photo, a label that is on fewer than two photos goes, not the photo.
        """
        left_out = {image.path for fault in self.faults for image in fault.left_out}
        kept = [image for image in self.dataset.images if image.path not in left_out]
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
                f"{self.dataset.root}: fewer than two classes are left once "
                f"{len(left_out)} broken files are left out."
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


class _Look(NamedTuple):
    error: ImageError | None
    content: str = ""
    """sha256 of the file."""
    sight: Sight = Sight(0, 0, "")


def audit(
    dataset: Dataset,
    *,
    workers: int = 2,
    fingerprints: bool = False,
    progress: Callable[[Iterable[_Look], int], Iterable[_Look]] = lambda looks, total: looks,
) -> Audit:
    """Decode every image once and compare them with each other.

    Args:
        workers: threads that decode.
        fingerprints: also compute what near-duplicates are found with.
        progress: wraps the stream of looks (and gets their number), for a progress bar.

    Raises:
        MissingDependencyError: `fingerprints` without imagehash.
    """
    looks = _looks([image.path for image in dataset.images], workers, progress, fingerprints)
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
        tuple(notes_on(dataset, repeated)),
        _digest(dataset, seen),
        {image.path: look.sight for image, look in seen if look.error is None},
    )


def leave_out_broken(
    dataset: Dataset,
    *,
    workers: int = 2,
    progress: Callable[[Iterable[_Look], int], Iterable[_Look]] = lambda looks, total: looks,
) -> tuple[Dataset, list[str]]:
    """The data set less the images that cannot be read, and a line for each of those."""
    looks = _looks([image.path for image in dataset.images], workers, progress)
    seen = list(zip(dataset.images, looks, strict=True))
    broken = [_relative(dataset, look.error) for _, look in seen if look.error is not None]
    return dataset.keep(image for image, look in seen if look.error is None), broken


def audit_unlabelled(
    folder: Path,
    labelled: Audit,
    *,
    workers: int = 2,
    progress: Callable[[Iterable[_Look], int], Iterable[_Look]] = lambda looks, total: looks,
) -> Unlabelled:
    """Open every photo of a folder without classes, and leave out what is among the labelled.

    A copy of a test photo would be learned from; one of a training photo teaches nothing new.

    Raises:
        DatasetError: no photos in the folder.
    """
    paths = list(find_images(folder))
    if not paths:
        raise DatasetError(f"{folder}: no photos there; give a folder of photos without classes.")
    looks = _looks(paths, workers, progress)
    known = {sight.pixels for sight in labelled.sights.values()}
    seen = list(zip(paths, looks, strict=True))
    readable = [(path, look) for path, look in seen if look.error is None]
    kept = [(path, look) for path, look in readable if look.sight.pixels not in known]
    return Unlabelled(
        tuple(path for path, _ in kept),
        tuple(look.error for _, look in seen if look.error is not None),
        len(readable) - len(kept),
        sha256("".join(look.content for _, look in kept).encode()).hexdigest(),
    )


def _looks(
    paths: Sequence[Path],
    workers: int,
    progress: Callable[[Iterable[_Look], int], Iterable[_Look]],
    fingerprints: bool = False,
) -> list[_Look]:
    """A look at each, in their order."""
    look_at = partial(_look, with_fingerprint=fingerprints)
    with ThreadPoolExecutor(workers) as pool:
        return list(progress(pool.map(look_at, paths), len(paths)))


def _look(path: os.PathLike[str], *, with_fingerprint: bool = False) -> _Look:
    if not _is_utf8(path):
        return _Look(ImageError(os.fspath(path), "its name is not UTF-8; rename it."))
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return _Look(ImageError(os.fspath(path), f"cannot be read ({error.strerror})."))
    try:
        image = decode(content)
    except ImageError as error:
        return _Look(ImageError(os.fspath(path), error.reason))
    pixels = blake2b(repr(image.size).encode() + image.tobytes(), digest_size=16).hexdigest()
    marks = fingerprint(image) if with_fingerprint else None
    return _Look(None, sha256(content).hexdigest(), Sight(*image.size, pixels, marks))


def _is_utf8(path: os.PathLike[str]) -> bool:
    """Whether the lists that a run writes can name the file."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _relative(dataset: Dataset, error: ImageError) -> str:
    name = os.path.relpath(error.source, dataset.root).replace(os.sep, "/")
    return f"{name}: {error.reason}"


def _repetition_faults(dataset: Dataset, group: Sequence[LabelledImage]) -> Iterable[Fault]:
    splits = {image.split for image in group}
    names = ", ".join(f"{dataset.name_of(image)} ({label_text(dataset, image)})" for image in group)
    if contradict(group):
        # Nobody but the owner can say which label is right, so no copy is kept.
        yield Fault("two labels", f"the same picture under two labels: {names}", tuple(group))
    elif len(splits) > 1:
        kept = min(splits, key=lambda split: KEPT_FIRST[split])
        others = tuple(image for image in group if image.split != kept)
        yield Fault("two splits", f"the same picture in two splits: {names}", others)


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
    """Labels that nothing can be learnt of, where a photo may have several."""
    to_train_on = _to_train_on(dataset).class_counts()
    counts = dataset.class_counts()
    for label, (name, count) in enumerate(zip(dataset.classes, counts, strict=True)):
        if count < 2:
            kind, photos = ("one image", "one photo") if count else ("empty class", "no photo")
            yield Fault(kind, f"label {name!r} is on {photos}; it has to be on two or more")
        elif dataset.has_splits and not to_train_on[label]:
            yield Fault(
                "empty class", f"nothing to train on: label {name!r} is on no photo in train"
            )


def _class_faults(dataset: Dataset) -> Iterable[Fault]:
    if dataset.task == MULTI:
        yield from _label_faults(dataset)
        return
    for label, (name, count) in enumerate(
        zip(dataset.classes, dataset.class_counts(), strict=True)
    ):
        if count == 0:
            yield Fault("empty class", f"empty class: {name!r} has no images")
        elif count == 1:
            only = next(image for image in dataset.images if image.label == label)
            text = f"class with one image: {name!r} has only {dataset.name_of(only)}"
            yield Fault("one image", text, (only,))
        elif dataset.has_splits:
            members = tuple(image for image in dataset.images if image.label == label)
            if not any(image.split in ("train", None) for image in members):
                text = f"nothing to train on: class {name!r} has no images in train"
                yield Fault("empty class", text, members)


def _digest(dataset: Dataset, seen: Sequence[tuple[LabelledImage, _Look]]) -> str:
    total = sha256()
    for image, look in sorted(seen, key=lambda pair: dataset.name_of(pair[0])):
        if look.error is None:
            line = f"{dataset.name_of(image)}\0{_said(dataset, image)}\0{look.content}\n"
            total.update(line.encode())
    return total.hexdigest()


def _said(dataset: Dataset, image: LabelledImage) -> str:
    """All that the data set says of an image, in names."""
    if not image.marks:
        return dataset.classes[image.label]
    return ";".join(f"{name}={m}" for name, m in zip(dataset.classes, image.marks, strict=True))
