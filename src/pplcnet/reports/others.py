"""How well a bundle separates photos like its training photos from very different ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError
from pplcnet.metrics.open_set import area_under_roc, false_acceptance_at
from pplcnet.runtime.model import Model
from pplcnet.system.wording import counted

__all__ = ["Others", "check_others", "compare_with_others"]


@dataclass(frozen=True)
class Others:
    """The figures for other photos."""

    folder: str
    photos: int
    """The number of photos that could be read."""
    auroc: float
    """The probability that a labelled photo is more typical than another; ties count half."""
    fpr_at_95_tpr: float
    """The share of other photos accepted at the threshold that accepts 95 % of labelled ones."""
    strange: int
    """The number of other photos called unlike anything trained on."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))

    def to_text(self) -> str:
        """The figures in one sentence."""
        return (
            f"against {counted(self.photos, 'other photo')} of {self.folder}: AUROC of the "
            f"typicality {self.auroc:.4f}, FPR at 95 % TPR {self.fpr_at_95_tpr:.4f}; "
            f"{self.strange} of them are called unlike anything trained on"
        )


def check_others(model: Model[Any], folder: str | PathLike[str]) -> None:
    """Raise InputError, before any work, if `compare_with_others` could not tell anything."""
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; other photos are given as a folder.")
    if next(find_images(folder), None) is None:
        raise InputError(f"{folder}: no photos in this folder or its subfolders.")
    if not model.knows_typical:
        raise InputError(
            "this bundle does not know what is typical of its training photos; 'pplcnet calibrate' "
            "measures it if they are still there."
        )


def compare_with_others(
    model: Model[Any],
    predictions: Sequence[Any],
    folder: str | PathLike[str],
    *,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda each, total: each,
) -> Others:
    """Predict the photos of a folder and compare how typical they are with labelled photos.

    Args:
        model: its bundle must know what is typical.
        predictions: for photos like the training photos that were not trained on.
        folder: photos that show something else.
        progress: wraps the predictions, given their total.

    Raises:
        InputError: as `check_others`; or none of the photos can be read.
    """
    check_others(model, folder)
    paths = list(find_images(Path(folder)))
    found = [each for each in progress(model.predict_many(paths), len(paths)) if not each.error]
    if not found:
        raise InputError(f"{folder}: none of its photos can be read.")
    known = np.array([each.typicality for each in predictions])
    others = np.array([each.typicality for each in found])
    return Others(
        folder=str(folder),
        photos=len(found),
        auroc=area_under_roc(known, others) or 0.0,
        fpr_at_95_tpr=false_acceptance_at(known, others) or 0.0,
        strange=sum(each.is_strange for each in found),
    )
