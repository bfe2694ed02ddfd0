"""Time how long it takes to split a data set into training, validation and test photos.

The data sets are synthetic: only names and labels count. Prints a line for each size.

    python benchmarks/splitting.py
    python benchmarks/splitting.py --photos 1280000 --classes 1000
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from pplcnet.data.annotations import ClassLabel, Marks
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.splits import draw_splits

SIZES = ((60_000, 1000), (1_280_000, 1000))
LABELLED = (20_000, 200)
"""Numbers of photos and labels of the multi-label data set."""


def of_classes(photos: int, classes: int) -> Dataset:
    """A data set with one class per photo and classes of equal size."""
    names = tuple(f"class_{at:05d}" for at in range(classes))
    root = Path("/made/up")
    folders = [root / name for name in names]
    images = tuple(
        LabelledImage(folders[at % classes] / f"{at:08d}.jpg", ClassLabel(at % classes))
        for at in range(photos)
    )
    return Dataset(root, names, images)


def of_labels(photos: int, labels: int) -> Dataset:
    """A multi-label data set of about five labels per photo, a few of them common and most rare."""
    draw = random.Random(0)
    names = tuple(f"label_{at:05d}" for at in range(labels))
    root = Path("/made/up")
    images = []
    for at in range(photos):
        marks = [0] * labels
        for _ in range(5):
            marks[int(labels * draw.random() ** 2)] = 1
        images.append(LabelledImage(root / f"{at:08d}.jpg", Marks(tuple(marks))))
    return Dataset(root, names, tuple(images), task="multilabel")


def measure(dataset: Dataset, noun: str) -> None:
    """Split it as a run does, and print the CPU time; `noun` is what its classes are called."""
    begin = time.process_time()
    splits = draw_splits(dataset, validation=0.15, test=0.15, seed=0)
    seconds = time.process_time() - begin
    print(
        f"{len(dataset):>9} photos, {len(dataset.classes):>5} {noun:<7}  {seconds:7.2f} s  "
        f"({len(splits.train)} / {len(splits.validation)} / {len(splits.test)})",
        flush=True,
    )


def main() -> None:
    """Measure the sizes in the table, or a given one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int)
    parser.add_argument("--classes", type=int, default=1000)
    arguments = parser.parse_args()
    sizes = SIZES if arguments.photos is None else [(arguments.photos, arguments.classes)]
    for photos, classes in sizes:
        measure(of_classes(photos, classes), "classes")
    if arguments.photos is None:
        measure(of_labels(*LABELLED), "labels")


if __name__ == "__main__":
    main()
