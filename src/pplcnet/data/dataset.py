"""Labelled images: their files, annotations and splits.

No image is read here. `pplcnet.data.layouts` finds the images of data sets in the usual layouts,
`pplcnet.data.audit` opens them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path

from pplcnet.data.annotations import Annotation
from pplcnet.data.stratification import hold_out
from pplcnet.errors import InputError, printable
from pplcnet.system.notebook import facts_table, shortened
from pplcnet.system.wording import counted

__all__ = ["SPLITS", "Dataset", "LabelledImage"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image file: its path, its annotation, and the split that the layout gives it."""

    path: Path
    annotation: Annotation
    """The annotation, of the same type for all images of a data set."""
    split: str | None = None
    """"train", "validation", "test", or None if the layout has no splits."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Indices of the classes that the image is known to show, ascending."""
        return self.annotation.shown


@dataclass(frozen=True)
class Dataset:
    """Labelled images, their class names, and the folder that their names are relative to."""

    root: Path
    classes: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    split_seed: int | None = None
    """The seed of the split that made this part; None if the layout gave it."""
    task: str = "classification"
    """The name of the task that the annotations are for (`pplcnet.tasks.TASKS`)."""
    notes: tuple[str, ...] = ()
    """Notes from reading it, a sentence each: ignored files, repeated entries."""
    source: Path | None = None
    """The table or list that was opened; None if it is `root`."""
    unpaired: tuple[str, ...] = ()
    """One sentence, without a full stop, for each label file whose image is missing."""

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        classes = f"{counted(len(self.classes), 'class')} ({shortened(self.classes)})"
        return f"<Dataset {str(self.root)!r}: {counted(len(self.images), 'image')}, {classes}>"

    def _repr_html_(self) -> str:
        counts = self.class_counts()
        return facts_table(repr(self)[1:-1], [*zip(self.classes, counts, strict=True)][:10])

    # The layouts build on this module, so they are imported only where they are used.

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Dataset:
        """Read a data set of any layout, which is detected from `path`.

        A folder is read as class folders, or by its train_list.txt (train.txt) if it holds one with
        a label file; a `.csv` or `.tsv` as a table; a `.txt` as PaddleClas' list. Boxes are read
        from a COCO `.json`, from Pascal VOC or YOLO folders with their files in the usual places,
        from a YOLO `data.yaml`, and from a table with a row for each box. Masks are read from
        folders of images and masks, from a table or a list of their pairs, and from VOC's lists of
        them.

        Raises:
            DatasetError: there is nothing at `path`, or it has none of the layouts, or it has
                faults, all in one message.
        """
        from pplcnet.data import layouts

        return layouts.read(Path(path))

    @classmethod
    def from_folder(cls, root: str | PathLike[str]) -> Dataset:
        """Class folders, or train/validation/test folders of class folders, nested or not."""
        from pplcnet.data.layouts import class_folders

        return class_folders.read(Path(root))

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> Dataset:
        """A table with a header; `pplcnet.data.layouts.csv_table` describes its three forms.

        Relative paths are relative to the table's folder. With a training table (train.csv), the
        tables of the other splits beside it (val.csv, test.csv) are read too.
        """
        from pplcnet.data.layouts import csv_table

        return csv_table.read(Path(path))

    @classmethod
    def from_list_file(
        cls, path: str | PathLike[str], label_file: str | PathLike[str] | None = None
    ) -> Dataset:
        """A list in the format of PaddleClas and PaddleX (`pplcnet.data.layouts.list_file`).

        With a training list (train_list.txt, train.txt), the lists of the other splits beside it
        (val_list.txt, val.txt) are read too.

        Args:
            label_file: names the classes; None takes labels.txt, label_list.txt, label.txt or
                classes.txt beside the list.
        """
        from pplcnet.data.layouts import list_file

        return list_file.read_list_file(Path(path), label_file)

    def name_of(self, image: LabelledImage) -> str:
        """The image's path relative to the data set's folder, with forward slashes.

        Bytes that are not UTF-8 are written as \\xff, so that the name can be written to any file.
        """
        path, root = os.fspath(image.path), self._root
        if path.startswith(root) and ".." not in path:  # true for most, and much faster
            name = path[len(root) :]
        else:
            name = os.path.relpath(path, self.root)
        return printable(name.replace(os.sep, "/"))

    @cached_property
    def _root(self) -> str:
        """The prefix of most paths."""
        return os.path.join(self.root, "")

    def class_counts(self) -> tuple[int, ...]:
        """The number of images that show each class."""
        counts = Counter(label for image in self.images for label in image.shown)
        return tuple(counts[label] for label in range(len(self.classes)))

    @property
    def place(self) -> Path:
        """The file or folder that was opened, for messages."""
        return self.source or self.root

    @property
    def has_splits(self) -> bool:
        """Whether the layout gives the images splits."""
        return any(image.split is not None for image in self.images)

    def subset(self, split: str) -> Dataset:
        """The images that the layout assigns to a split; can be empty."""
        return self.keep(image for image in self.images if image.split == split)

    def with_classes(self, classes: Sequence[str]) -> Dataset:
        """The same images for another list of classes.

        Images whose annotation is empty without the dropped classes are left out.
        """
        there = {name: index for index, name in enumerate(classes)}
        place = {at: there[name] for at, name in enumerate(self.classes) if name in there}
        renumbered = (
            (image, image.annotation.renumbered(place, len(classes))) for image in self.images
        )
        images = tuple(
            replace(image, annotation=annotation)
            for image, annotation in renumbered
            if annotation is not None
        )
        return replace(self, classes=tuple(classes), images=images)

    def keep(self, images: Iterable[LabelledImage], split_seed: int | None = None) -> Dataset:
        """The same data set with only these images."""
        return replace(self, images=tuple(images), split_seed=split_seed, notes=(), unpaired=())

    def split(
        self,
        validation: float = 0.2,
        seed: int = 0,
        *,
        groups: Iterable[Collection[Path]] = (),
    ) -> tuple[Dataset, Dataset]:
        """Split at random, stratified by class: (training, validation).

        Every class with two or more images has at least one on each side, if the groups and the
        other classes of its images allow it. The same images and seed give the same split, wherever
        the folder is.

        Args:
            validation: fraction of the images to hold out, between 0 and 1.
            groups: paths of images that must stay on one side, such as copies of an image.

        Raises:
            InputError: `validation` is out of range.
        """
        if not 0 < validation < 1:
            raise InputError(f"validation is {validation}; it must be a fraction between 0 and 1.")
        generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
        shown = [image.shown for image in self.images]
        held_out = hold_out(shown, self.groups(groups), validation, generator)
        sides: tuple[list[LabelledImage], list[LabelledImage]] = [], []
        for at, image in enumerate(self.images):
            sides[at in held_out].append(image)
        return self.keep(sides[0], seed), self.keep(sides[1], seed)

    def groups(self, given: Iterable[Collection[Path]] = ()) -> list[list[int]]:
        """Indices of the images that must stay together, one list per group, ordered by name.

        Args:
            given: paths of images that form a group. Images with the same path always do; an image
                in no group is a group of one.
        """
        # Strings, because hashing a Path takes several times as long.
        number = {os.fspath(path): at for at, paths in enumerate(given) for path in paths}
        names = [self.name_of(image) for image in self.images]
        groups: dict[object, list[int]] = {}
        for at in sorted(range(len(names)), key=names.__getitem__):
            path = os.fspath(self.images[at].path)
            groups.setdefault(number.get(path, path), []).append(at)
        return list(groups.values())
