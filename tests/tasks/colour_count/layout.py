"""A table counts.csv with the columns path and colours."""

from __future__ import annotations

import csv
from pathlib import Path

from pplcnet.data.dataset import Dataset, LabelledImage
from tests.tasks.colour_count.task import TASK, Count


def recognises(path: Path) -> bool:
    return path.name == "counts.csv"


def read(path: Path) -> Dataset:
    with path.open(newline="") as file:
        images = [
            LabelledImage(path.parent / row["path"], Count(int(row["colours"])))
            for row in csv.DictReader(file)
        ]
    return Dataset(path.parent, ("colours",), tuple(images), task=TASK.name)
