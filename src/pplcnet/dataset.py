"""An index of labelled image files, read from any of the usual layouts.

Layouts: a folder of class folders; a folder of train/validation/test of class folders; a CSV file
with a path and a label column; PaddleClas' list file (`path label-id` a line) with a label file.
Only names are read here. `pplcnet.auditing` opens the files.
"""

from __future__ import annotations

import csv
import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from pplcnet.decoding import IMAGE_ENDINGS
from pplcnet.errors import DatasetError, InputError

__all__ = ["SPLITS", "Dataset", "LabelledImage", "find_images"]

SPLITS = ("train", "validation", "test")
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
PATH_COLUMNS = ("path", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMN = "split"
LABEL_FILES = ("labels.txt", "label_list.txt", "classes.txt")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image file: where it is, which class it shows, and the split that its place gives it."""

    path: Path
    label: int
    """Index into the data set's classes."""
    split: str | None = None
    """"train", "validation", "test", or None when the layout has no splits."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images, their class names, and the folder that their names are relative to."""

    root: Path
    classes: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    split_seed: int | None = None
    """The seed of the split that made this part; None when the layout gave it."""

    def __len__(self) -> int:
        return len(self.images)

    # ------------------------------------------------------------------ reading

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Dataset:
        """Read a data set of any layout; the layout is told by what stands at `path`.

        A folder is read as class folders; a `.csv` as a table; a `.txt` as PaddleClas' list.

        Raises:
            DatasetError: nothing there, or not one of the layouts; all faults in one message.
        """
        path = Path(path)
        if path.is_dir():
            return cls.from_folder(path)
        if not path.exists():
            raise DatasetError(f"{path}: no such folder or file.")
        if path.suffix.lower() == ".csv":
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
        if not root.is_dir():
            raise DatasetError(f"{root}: no such folder.")
        folders = _subfolders(root)
        splits = {each: _SPLIT_FOLDERS.get(each.name.lower()) for each in folders}
        if folders and all(splits.values()):
            places = [
                (split, class_folder)
                for folder, split in splits.items()
                for class_folder in _subfolders(folder)
            ]
        else:
            _refuse_mixed_layout(root, splits)
            places = [(None, folder) for folder in folders]
        classes = tuple(sorted({folder.name for _, folder in places}))
        if not classes:
            loose = sum(1 for _ in find_images(root))
            found = f"{loose} images but no class folders" if loose else "no images"
            raise DatasetError(
                f"{root}: {found}. Expected is one folder a class (PHOTOS/cat/1.jpg), or "
                "train/validation/test folders of class folders."
            )
        index = {name: label for label, name in enumerate(classes)}
        images = tuple(
            LabelledImage(path, index[folder.name], split)
            for split, folder in places
            for path in find_images(folder)
        )
        return cls(root, classes, images)._checked()

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> Dataset:
        """A table with a header; a path column, a label column and, if wanted, a split column.

        Relative paths count from the file's folder.
        """
        path = Path(path)
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                columns = {str(each).strip().lower(): each for each in reader.fieldnames or ()}
                path_column = next((columns[c] for c in PATH_COLUMNS if c in columns), None)
                label_column = next((columns[c] for c in LABEL_COLUMNS if c in columns), None)
                if path_column is None or label_column is None:
                    raise DatasetError(
                        f"{path}: its columns are {', '.join(columns) or 'none'}; needed are a "
                        f"path column ({', '.join(PATH_COLUMNS)}) and a label column "
                        f"({', '.join(LABEL_COLUMNS)})."
                    )
                split_column = columns.get(SPLIT_COLUMN)
                rows = [
                    (
                        f"line {reader.line_num}",
                        (row[path_column] or "").strip(),
                        (row[label_column] or "").strip(),
                        (row[split_column] or "").strip().lower() if split_column else "",
                    )
                    for row in reader
                ]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{path}: cannot be read as CSV ({error}).") from error
        return cls._from_rows(path, rows, classes=None)

    @classmethod
    def from_list_file(
        cls, path: str | PathLike[str], label_file: str | PathLike[str] | None = None
    ) -> Dataset:
        """PaddleClas' form: `relative/path.jpg 3` a line, and a file that names the labels.

        The label file has a name a line, or `3 name` a line; without `label_file`, one of
        labels.txt, label_list.txt and classes.txt beside the list is taken. Where the list is
        called train_list.txt and val_list.txt (or test_list.txt) stand beside it, these are the
        splits.
        """
        path = Path(path)
        candidates = [Path(label_file)] if label_file else [path.parent / n for n in LABEL_FILES]
        found = next((each for each in candidates if each.is_file() and each != path), None)
        if found is None:
            raise DatasetError(
                f"{path}: no label file; put one of {', '.join(LABEL_FILES)} beside it, with a "
                "class name a line."
            )
        classes = _read_label_file(found)
        lists = [(path, "")]
        if path.name == "train_list.txt":
            others = {"val_list.txt": "validation", "test_list.txt": "test"}
            present = [
                (path.parent / n, s) for n, s in others.items() if (path.parent / n).exists()
            ]
            lists = [(path, "train" if present else ""), *present]
        rows = []
        for each, split in lists:
            for number, line in enumerate(_lines(each), start=1):
                name, _, label_id = line.rpartition(" ") if " " in line else line.rpartition("\t")
                known = label_id.isdecimal() and int(label_id) < len(classes)
                label = classes[int(label_id)] if known else ""
                place = f"{each.name} line {number}"
                if not known:
                    place += f" (label {label_id!r}, allowed are 0 to {len(classes) - 1})"
                rows.append((place, name.strip(), label, split))
        return cls._from_rows(path, rows, classes=classes)

    @classmethod
    def _from_rows(
        cls,
        path: Path,
        rows: Sequence[tuple[str, str, str, str]],
        classes: tuple[str, ...] | None,
    ) -> Dataset:
        faults = []
        for place, name, label, split in rows:
            if not name:
                faults.append(f"{place}: no path")
            elif not (path.parent / name).is_file():
                faults.append(f"{place}: {name} does not exist")
            if not label:
                faults.append(f"{place}: no usable label")
            if split and split not in _SPLIT_FOLDERS:
                faults.append(f"{place}: split {split!r}, allowed are {', '.join(SPLITS)}")
        if faults:
            raise DatasetError(f"{path}: {len(faults)} of its lines are wrong:", faults)
        names = classes or tuple(sorted({label for _, _, label, _ in rows}))
        index = {name: label for label, name in enumerate(names)}
        images = tuple(
            LabelledImage(path.parent / name, index[label], _SPLIT_FOLDERS.get(split))
            for _, name, label, split in rows
        )
        return cls(path.parent, names, images)._checked()

    def _checked(self) -> Dataset:
        if not self.images:
            raise DatasetError(
                f"{self.root}: no images ({', '.join(sorted(IMAGE_ENDINGS))}) in its "
                f"{len(self.classes)} class folders."
            )
        if len(self.classes) < 2:
            raise DatasetError(
                f"{self.root}: one class only ({self.classes[0]!r}); a classifier needs two or "
                "more class folders."
            )
        return self

    # ------------------------------------------------------------------ looking

    def name_of(self, image: LabelledImage) -> str:
        """The image's path relative to the data set's folder, with forward slashes."""
        return Path(os.path.relpath(image.path, self.root)).as_posix()

    def class_counts(self) -> tuple[int, ...]:
        """How many images each class has."""
        counts = Counter(image.label for image in self.images)
        return tuple(counts[label] for label in range(len(self.classes)))

    @property
    def has_splits(self) -> bool:
        """Whether the layout itself says what is for training and what is not."""
        return any(image.split is not None for image in self.images)

    # ------------------------------------------------------------------ dividing

    def subset(self, split: str) -> Dataset:
        """The images of one of the layout's own splits; may be empty."""
        return self.keep(image for image in self.images if image.split == split)

    def keep(self, images: Iterable[LabelledImage], split_seed: int | None = None) -> Dataset:
        """The same classes with only these images."""
        return Dataset(self.root, self.classes, tuple(images), split_seed)

    def split(self, validation: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Divide at random, every class in the same proportion: (training, validation).

        Every class with two or more images has at least one on each side. The same images and
        seed give the same division, wherever the folder lies.
        """
        if not 0 < validation < 1:
            raise InputError(f"validation is {validation}; it must be a fraction between 0 and 1.")
        generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
        held_out: set[int] = set()
        order = sorted(range(len(self.images)), key=lambda each: self.name_of(self.images[each]))
        for label in range(len(self.classes)):
            members = [each for each in order if self.images[each].label == label]
            generator.shuffle(members)
            if len(members) > 1:
                share = min(max(1, round(len(members) * validation)), len(members) - 1)
                held_out.update(members[:share])
        training = [image for each, image in enumerate(self.images) if each not in held_out]
        validating = [image for each, image in enumerate(self.images) if each in held_out]
        return self.keep(training, seed), self.keep(validating, seed)


def find_images(folder: Path) -> Iterable[Path]:
    """Every image file below `folder`, sorted within each folder, hidden ones left out."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_ENDINGS:
                yield Path(parent, name)


def _refuse_mixed_layout(root: Path, splits: dict[Path, str | None]) -> None:
    """Split folders beside other folders: taking "train" for a class would train on nonsense."""
    divided = [each.name for each, split in splits.items() if split and _subfolders(each)]
    others = [each.name for each, split in splits.items() if not split]
    if divided and others:
        raise DatasetError(
            f"{root}: holds split folders ({', '.join(divided)}) beside others "
            f"({', '.join(others)}); move the others away, or give one of them as the data set."
        )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")
    )


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}).") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _read_label_file(path: Path) -> tuple[str, ...]:
    lines = _lines(path)
    numbered = [line.split(maxsplit=1) for line in lines]
    if all(len(parts) == 2 and parts[0] == str(at) for at, parts in enumerate(numbered)):
        return tuple(parts[1] for parts in numbered)
    return tuple(lines)
