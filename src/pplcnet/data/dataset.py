"""An index of labelled image files, read from any of the usual layouts.

Layouts: a folder of class folders; a folder of train/validation/test of class folders; a CSV file
with a path and a label column, or multi-label (`pplcnet.tables`); lists of
PaddleClas and PaddleX with a label file (`pplcnet.list_files`). Only names are read here.
`pplcnet.auditing` opens the files.
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

from pplcnet.data.annotations import Annotation, ClassLabel, Marks
from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.image_files import PassedOver, find_images, same_file_key, subfolders
from pplcnet.data.layouts.csv_table import Row, read_table
from pplcnet.data.layouts.list_file import list_in, read_list
from pplcnet.data.layouts.list_text import SPLIT_NAMES, SPLITS, lists_beside
from pplcnet.data.layouts.listed_images import find_listed
from pplcnet.data.layouts.table_columns import RESERVED
from pplcnet.data.stratification import hold_out, hold_out_of_classes
from pplcnet.errors import DatasetError, InputError, printable
from pplcnet.imaging.decoding import IMAGE_ENDINGS
from pplcnet.system.notebook import facts_table, shortened
from pplcnet.system.wording import counted

__all__ = ["MULTI", "SINGLE", "SPLITS", "Dataset", "LabelledImage", "find_images"]

SINGLE, MULTI = "classification", "multilabel"
"""The task: an image has exactly one of the classes, or any number of them, also none."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image file: where it is, which class it shows, and the split that its place gives it."""

    path: Path
    annotation: Annotation
    """What is said of it; one kind for all images of a data set."""
    split: str | None = None
    """"train", "validation", "test", or None when the layout has no splits."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Indices of the classes that it is known to show, ascending."""
        return self.annotation.shown


@dataclass(frozen=True)
class Dataset:
    """Labelled images, their class names, and the folder that their names are relative to."""

    root: Path
    classes: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    split_seed: int | None = None
    """The seed of the split that made this part; None when the layout gave it."""
    task: str = SINGLE
    """SINGLE, or MULTI for any number of labels per photo."""
    notes: tuple[str, ...] = ()
    """What was noticed while it was read, a sentence each: ignored files, repeated entries."""

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        kind = counted(len(self.classes), "class" if self.task == SINGLE else "label")
        images = counted(len(self.images), "image")
        return f"<Dataset {str(self.root)!r}: {images}, {kind} ({shortened(self.classes)})>"

    def _repr_html_(self) -> str:
        counts = self.class_counts()
        return facts_table(repr(self)[1:-1], [*zip(self.classes, counts, strict=True)][:10])

    # ------------------------------------------------------------------ reading

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Dataset:
        """Read a data set of any layout; the layout is told by what stands at `path`.

        A folder is read as class folders, or by its train_list.txt (train.txt) if it holds one with
        a label file; a `.csv` or `.tsv` as a table; a `.txt` as PaddleClas' list.

        Raises:
            DatasetError: nothing there, or not one of the layouts; all faults in one message.
        """
        path = Path(path)
        if os.path.isdir(path):
            return cls._from_list_in(path) or cls.from_folder(path)
        if not os.path.exists(path):
            raise DatasetError(f"{path}: no such folder or file.")
        if path.suffix.lower() in (".csv", ".tsv"):
            return cls.from_csv(path)
        if path.suffix.lower() == ".txt":
            return cls.from_list_file(path)
        raise DatasetError(
            f"{path}: not a data set. Give a folder of class folders, a .csv with a path and a "
            "label column, or a PaddleClas list file (.txt)."
        )

    @classmethod
    def from_folder(cls, root: str | PathLike[str]) -> Dataset:
        """Class folders, or train/validation/test of class folders; nested folders count."""
        root = Path(root)
        if not os.path.isdir(root):
            raise DatasetError(f"{root}: no such folder.")
        passed_over = PassedOver()
        folders = subfolders(root, passed_over)
        splits = {each: SPLIT_NAMES.get(each.name.lower()) for each in folders}
        if folders and all(splits.values()):
            places = [
                (split, class_folder)
                for folder, split in splits.items()
                for class_folder in subfolders(folder, passed_over)
            ]
        else:
            _refuse_mixed_layout(root, splits)
            places = [(None, folder) for folder in folders]
        passed_over.raise_unreadable(root)
        classes = tuple(sorted({class_name(folder.name) for _, folder in places}))
        if not classes:
            loose = sum(1 for _ in find_images(root, passed_over))
            found = f"{counted(loose, 'image')} but no class folders" if loose else "no images"
            tables = sorted([*root.glob("*.csv"), *root.glob("*/*.csv")])
            hint = f" If {tables[0]} holds the labels, give that file." if tables else ""
            raise DatasetError(
                f"{root}: {found}. Expected: one folder per class (PHOTOS/cat/1.jpg), or "
                f"train/validation/test folders of class folders.{hint}"
            )
        faults = name_faults(classes)
        if faults:
            raise DatasetError(f"{root}: its class folders need other names:", faults)
        index = {name: label for label, name in enumerate(classes)}
        images = tuple(
            LabelledImage(path, ClassLabel(index[class_name(folder.name)]), split)
            for split, folder in places
            for path in find_images(folder, passed_over)
        )
        passed_over.raise_unreadable(root)
        return cls(root, classes, images, notes=tuple(passed_over.notes()))._checked()

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> Dataset:
        """A table with a header; the forms are those of `pplcnet.tables.read_table`.

        Relative paths count from the file's folder. Several labels per photo make it a data set of
        the task MULTI. With a training table (train.csv), the tables of the other splits beside it
        (val.csv, test.csv) are read too.
        """
        path = Path(path)
        table = read_table(path, lists_beside(path))
        classes = table.labels or tuple(sorted({row.label for row in table.rows if row.label}))
        task = SINGLE if table.labels is None else MULTI
        return cls._from_rows(path, table.rows, classes, table.faults, task, table.notes)

    @classmethod
    def from_list_file(
        cls, path: str | PathLike[str], label_file: str | PathLike[str] | None = None
    ) -> Dataset:
        """The lists of PaddleClas and PaddleX; the form is that of `pplcnet.list_files.read_list`.

        With a training list (train_list.txt, train.txt), the lists of the other splits beside it
        (val_list.txt, val.txt) are read too.

        Args:
            label_file: names the classes; None takes labels.txt, label_list.txt, label.txt or
                classes.txt beside the list.
        """
        path = Path(path)
        listed = read_list(path, label_file)
        return cls._from_rows(
            path, listed.rows, listed.classes, listed.faults, SINGLE, listed.notes
        )

    @classmethod
    def _from_list_in(cls, folder: Path) -> Dataset | None:
        """By the folder's training list, or None where it has none with a label file."""
        path = list_in(folder)
        if path is None:
            return None
        try:
            dataset = cls.from_list_file(path)
        except DatasetError as error:
            raise DatasetError(
                f"{folder}: holds a list of photos and a label file, which are read in place of "
                f"class folders; move the list away to read those. {error.summary}",
                error.faults,
            ) from error
        note = f"the photos are those that {path.name} lists, whatever the folders are called."
        return replace(dataset, notes=(note, *dataset.notes))

    @classmethod
    def _from_rows(
        cls,
        path: Path,
        rows: Sequence[Row],
        classes: tuple[str, ...],
        faults: Sequence[str],
        task: str,
        notes: tuple[str, ...] = (),
    ) -> Dataset:
        index = {name: label for label, name in enumerate(classes)}
        found = find_listed(path, rows, faults, needs_label=task == SINGLE)
        images = tuple(
            LabelledImage(
                place,
                ClassLabel(index[row.label]) if task == SINGLE else Marks(row.marks),
                SPLIT_NAMES.get(row.split),
            )
            for row, place in zip(rows, found, strict=True)
        )
        folders = {row.folder for row in rows}
        root = path.parent if len(folders) == 1 else path.absolute().parent.parent
        return cls(root, classes, images, task=task, notes=notes)._checked()

    def _checked(self) -> Dataset:
        if not self.images:
            raise DatasetError(
                f"{self.root}: no images ({', '.join(sorted(IMAGE_ENDINGS))}) in its "
                f"{counted(len(self.classes), 'class folder')}.",
                self.notes,
            )
        if self.task == MULTI:
            self._check_labels()
        elif len(self.classes) < 2:
            inner = self.root / self.classes[0]
            hint = ""
            if inner.is_dir() and len(subfolders(inner)) > 1:
                hint = f" Are the class folders those in {inner}? Then give that."
            raise DatasetError(
                f"{self.root}: one class only ({self.classes[0]!r}); a classifier needs two or "
                f"more classes.{hint}"
            )
        return self._without_repeats()

    def _without_repeats(self) -> Dataset:
        """Each file once for each label and split that it is given, whatever its path's spelling.

        What remains of a file twice contradicts itself, which the audit reports.
        """
        keys = [same_file_key(image.path) for image in self.images]
        if len(set(keys)) == len(keys):
            return self
        kept: dict[object, LabelledImage] = {}
        for key, image in zip(keys, self.images, strict=True):
            kept.setdefault((key, image.annotation, image.split), image)
        repeats = len(self.images) - len(kept)
        if not repeats:
            return self
        note = (
            f"{counted(repeats, 'entry', 'entries')} repeat{'s' * (repeats == 1)} a file that is "
            "listed before with the same label; each file counts once."
        )
        return replace(self, images=tuple(kept.values()), notes=(*self.notes, note))

    def _check_labels(self) -> None:
        if len(self.classes) < 2:
            found = counted(len(self.classes), "label")
            raise DatasetError(
                f"{self.root}: {found} in the whole table; multi-label data need at least two. For "
                "a yes or no, give a column 'label' with two names."
            )
        taken = [name for name in self.classes if name.lower() in RESERVED]
        if taken:
            raise DatasetError(
                f"{self.root}: no label can be called {', '.join(taken)}, which are names of "
                "columns; give it another name."
            )

    # ------------------------------------------------------------------ looking

    def name_of(self, image: LabelledImage) -> str:
        """The image's path relative to the data set's folder, with forward slashes.

        Bytes that are no UTF-8 are written as \\xff, so that every file takes the name.
        """
        path, root = os.fspath(image.path), self._root
        if path.startswith(root) and ".." not in path:  # most of them, and much faster
            name = path[len(root) :]
        else:
            name = os.path.relpath(path, self.root)
        return printable(name.replace(os.sep, "/"))

    @cached_property
    def _root(self) -> str:
        """What most paths begin with."""
        return os.path.join(self.root, "")

    def class_counts(self) -> tuple[int, ...]:
        """How many images each class has, or each label is on."""
        counts = Counter(label for image in self.images for label in image.shown)
        return tuple(counts[label] for label in range(len(self.classes)))

    @property
    def has_splits(self) -> bool:
        """Whether the layout itself says what is for training and what is not."""
        return any(image.split is not None for image in self.images)

    # ------------------------------------------------------------------ dividing

    def subset(self, split: str) -> Dataset:
        """The images of one of the layout's own splits; may be empty."""
        return self.keep(image for image in self.images if image.split == split)

    def with_classes(self, classes: Sequence[str]) -> Dataset:
        """The same images for another list of classes, which has the names of this one's or more.

        Images of which nothing is left to say, since their class is gone, are left out.
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
        """The same classes with only these images."""
        return Dataset(self.root, self.classes, tuple(images), split_seed, self.task)

    def split(
        self,
        validation: float = 0.2,
        seed: int = 0,
        *,
        together: Iterable[Collection[Path]] = (),
    ) -> tuple[Dataset, Dataset]:
        """Divide at random, every class in the same proportion: (training, validation).

        Every class with two or more images has at least one on each side; of several labels a
        photo, each is divided as near to its share as the photos allow. The same images and seed
        give the same division, wherever the folder lies.

        Args:
            together: paths of images that go to the same side, such as copies of one picture.
        """
        if not 0 < validation < 1:
            raise InputError(f"validation is {validation}; it must be a fraction between 0 and 1.")
        generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
        units = self.units(together)
        if self.task == MULTI:
            shown = [
                frozenset(label for at in unit for label in self.images[at].shown) for unit in units
            ]
            chosen = hold_out(shown, len(self.classes), validation, generator)
            return self._divided({at for each in chosen for at in units[each]}, seed)
        labels = [self.images[unit[0]].shown[0] for unit in units]
        return self._divided(hold_out_of_classes(units, labels, validation, generator), seed)

    def units(self, together: Iterable[Collection[Path]] = ()) -> list[list[int]]:
        """Indices of the images, those that belong together in one list; ordered by name.

        Images of the same path belong together, whatever their labels.
        """
        # Strings: the hash of a Path takes several times as long.
        group = {os.fspath(path): number for number, paths in enumerate(together) for path in paths}
        names = [self.name_of(image) for image in self.images]
        units: dict[object, list[int]] = {}
        for at in sorted(range(len(names)), key=names.__getitem__):
            path = os.fspath(self.images[at].path)
            units.setdefault(group.get(path, path), []).append(at)
        return list(units.values())

    def _divided(self, held_out: set[int], seed: int) -> tuple[Dataset, Dataset]:
        training = [image for each, image in enumerate(self.images) if each not in held_out]
        validating = [image for each, image in enumerate(self.images) if each in held_out]
        return self.keep(training, seed), self.keep(validating, seed)


def _refuse_mixed_layout(root: Path, splits: dict[Path, str | None]) -> None:
    """Split folders beside other folders: taking "train" for a class would train on nonsense."""
    divided = [each.name for each, split in splits.items() if split and subfolders(each)]
    others = [each.name for each, split in splits.items() if not split]
    if divided and others:
        raise DatasetError(
            f"{root}: holds split folders ({', '.join(divided)}) beside others "
            f"({', '.join(others)}); move the others away, or give one of them as the data set."
        )
