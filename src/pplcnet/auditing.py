"""Open every image of a data set and report all its faults in one message."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import NamedTuple

from pplcnet.dataset import Dataset, LabelledImage
from pplcnet.decoding import decode
from pplcnet.errors import DatasetError, ImageError

__all__ = ["Audit", "Fault", "audit"]

IMBALANCE_NOTED_FROM = 10
# Where copies of a picture lie in several splits, the evaluation's copy is the one to keep: what
# was trained on must not be counted as unseen.
KEPT_FIRST = {"test": 0, "validation": 1, "train": 2, None: 3}


class Fault(NamedTuple):
    """Something that makes a data set unfit, and the images that are left out to mend it."""

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
        """The data set less the images that the faults concern, and less classes left empty."""
        left_out = {image.path for fault in self.faults for image in fault.left_out}
        kept = [image for image in self.dataset.images if image.path not in left_out]
        counts = Counter(image.label for image in kept)
        # Leaving broken files out can leave a class with a single image, which goes as well.
        remaining = [label for label in range(len(self.dataset.classes)) if counts[label] > 1]
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
                LabelledImage(image.path, place[image.label], image.split)
                for image in kept
                if image.label in place
            ),
        )


class _Look(NamedTuple):
    error: ImageError | None
    content: str = ""
    """sha256 of the file."""
    pixels: str = ""
    """Digest of the decoded picture: equal for the same picture under another name or EXIF."""


def audit(
    dataset: Dataset,
    *,
    workers: int = 2,
    progress: Callable[[Iterable[_Look], int], Iterable[_Look]] = lambda looks, total: looks,
) -> Audit:
    """Decode every image once and compare them with each other.

    Args:
        workers: threads that decode.
        progress: wraps the stream of looks (and gets their number), for a progress bar.
    """
    with ThreadPoolExecutor(workers) as pool:
        looks = list(
            progress(pool.map(_look, [image.path for image in dataset.images]), len(dataset))
        )
    seen = list(zip(dataset.images, looks, strict=True))
    faults = [
        Fault("unreadable", f"unreadable: {_relative(dataset, look.error)}", (image,))
        for image, look in seen
        if look.error is not None
    ]
    groups: dict[str, list[LabelledImage]] = defaultdict(list)
    for image, look in seen:
        if look.error is None:
            groups[look.pixels].append(image)
    repeated = [group for group in groups.values() if len(group) > 1]
    faults += [fault for group in repeated for fault in _repetition_faults(dataset, group)]
    faults += _class_faults(dataset)
    return Audit(
        dataset,
        tuple(faults),
        tuple(_notes(dataset, repeated)),
        _digest(dataset, seen),
    )


def _look(path: os.PathLike[str]) -> _Look:
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
    return _Look(None, sha256(content).hexdigest(), pixels)


def _relative(dataset: Dataset, error: ImageError) -> str:
    name = os.path.relpath(error.source, dataset.root).replace(os.sep, "/")
    return f"{name}: {error.reason}"


def _repetition_faults(dataset: Dataset, group: Sequence[LabelledImage]) -> Iterable[Fault]:
    labels = {image.label for image in group}
    splits = {image.split for image in group}
    names = ", ".join(
        f"{dataset.name_of(image)} ({dataset.classes[image.label]})" for image in group
    )
    if len(labels) > 1:
        # Nobody but the owner can say which label is right, so no copy is kept.
        yield Fault("two labels", f"the same picture under two labels: {names}", tuple(group))
    elif len(splits) > 1:
        kept = min(splits, key=lambda split: KEPT_FIRST[split])
        others = tuple(image for image in group if image.split != kept)
        yield Fault("two splits", f"the same picture in two splits: {names}", others)


def _class_faults(dataset: Dataset) -> Iterable[Fault]:
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


def _notes(dataset: Dataset, repeated: Sequence[Sequence[LabelledImage]]) -> Iterable[str]:
    counts = [
        (count, name)
        for count, name in zip(dataset.class_counts(), dataset.classes, strict=True)
        if count
    ]
    most, least = max(counts), min(counts)
    if most[0] >= IMBALANCE_NOTED_FROM * least[0]:
        yield (
            f"imbalance: {most[1]!r} has {most[0]} images, {least[1]!r} has {least[0]}; rare "
            "classes will be recognised worse."
        )
    copies = sum(
        len(group) - 1
        for group in repeated
        if len({(image.label, image.split) for image in group}) == 1
    )
    if copies:
        yield f"{copies} images are exact copies of another in the same class and split."


def _digest(dataset: Dataset, seen: Sequence[tuple[LabelledImage, _Look]]) -> str:
    total = sha256()
    for image, look in sorted(seen, key=lambda pair: dataset.name_of(pair[0])):
        if look.error is None:
            line = f"{dataset.name_of(image)}\0{dataset.classes[image.label]}\0{look.content}\n"
            total.update(line.encode())
    return total.hexdigest()
