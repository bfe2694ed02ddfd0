"""Layouts of data sets: where images and labels are, a module each.

A layout is a module with two functions:

- `recognises(path: Path) -> bool`: whether the folder or file at `path`, which exists, has it.
- `read(path: Path) -> Dataset`: the data set there; a DatasetError lists all faults at once.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.errors import DatasetError

if TYPE_CHECKING:
    from pplcnet.data.dataset import Dataset

__all__ = ["LAYOUTS", "read"]

LAYOUTS = (
    "pplcnet.data.layouts.coco",
    "pplcnet.data.layouts.voc",
    "pplcnet.data.layouts.mask_lists",
    "pplcnet.data.layouts.mask_folders",
    "pplcnet.data.layouts.mask_table",
    "pplcnet.data.layouts.yolo",
    "pplcnet.data.layouts.box_table",
    "pplcnet.data.layouts.list_file",
    "pplcnet.data.layouts.csv_table",
    "pplcnet.data.layouts.class_folders",
)
"""Names of the modules, imported on first use. The first that recognises a path reads it, so class
folders, which any folder is taken for, come last."""


def read(path: Path) -> Dataset:
    """The data set at `path`, whatever its layout.

    Raises:
        DatasetError: nothing is there, or it has none of the layouts, or it has faults.
    """
    if not os.path.exists(path):
        raise DatasetError(f"{path}: no such folder or file.")
    for name in LAYOUTS:
        layout = importlib.import_module(name)
        if layout.recognises(path):
            dataset: Dataset = layout.read(path)
            return dataset
    raise DatasetError(
        f"{path}: not a data set. Give a folder of class folders, a .csv with a path and a "
        "label column, or a PaddleClas list file (.txt); with boxes, a COCO .json, a folder of "
        "Pascal VOC's, a YOLO data.yaml, or a .csv with a row for each box; with masks, a folder "
        "of images and masks, or a .csv or list of their pairs."
    )
