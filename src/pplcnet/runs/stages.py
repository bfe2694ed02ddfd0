"""The photos of a run: found, audited, and divided."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from os import PathLike
from pathlib import Path, PurePosixPath

from pplcnet.data.audit import Audit, Unlabelled, audit_unlabelled
from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import Splits, draw_splits
from pplcnet.errors import DatasetError
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import SKIPPED
from pplcnet.system.files import write_csv
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted, listed
from pplcnet.tasks import find
from pplcnet.tasks.audit import audit

__all__ = ["audited", "audited_unlabelled", "splits_of", "write_skipped"]

NAMED_CLASSES = 20


def audited(
    photos: str | PathLike[str], skip_broken: bool, watcher: Watcher, *, listed_in: str = SKIPPED
) -> Audit:
    """Open every photo; DatasetError for faults, unless the photos are to be left out."""
    checked = audit(
        Dataset.open(photos),
        fingerprints=importlib.util.find_spec("imagehash") is not None,
        progress=lambda looks, total: watcher.watch(looks, total, "audit"),
    )
    if not skip_broken:
        checked.raise_faults()
    for note in checked.notes:
        watcher.say(f"note: {note}")
    if checked.faults:
        left_out = len({image.path for fault in checked.faults for image in fault.left_out})
        watcher.say(
            f"left out {counted(left_out, 'file')} for {counted(len(checked.faults), 'fault')} "
            f"({listed_in})"
        )
        kept = set(checked.without_faults().classes)
        gone = [repr(name) for name in checked.dataset.classes if name not in kept]
        if gone:
            kind = counted(len(gone), find(checked.dataset.task).noun).split(" ", 1)[1]
            watcher.say(f"{kind} left out: {listed(gone, NAMED_CLASSES)}")
    return checked


def audited_unlabelled(
    recipe: Recipe, checked: Audit, skip_broken: bool, watcher: Watcher
) -> Unlabelled | None:
    """The photos without classes that a recipe names; None where it names none."""
    if recipe.unlabelled is None:
        return None
    found = audit_unlabelled(
        Path(recipe.unlabelled),
        checked,
        progress=lambda looks, total: watcher.watch(looks, total, "audit without classes"),
    )
    if found.broken and not skip_broken:
        raise DatasetError(
            f"{recipe.unlabelled}: {len(found.broken)} of its photos cannot be read; fix them, or "
            "leave them out with --skip-broken:",
            [str(error) for error in found.broken],
        )
    if not found.images:
        raise DatasetError(
            f"{recipe.unlabelled}: nothing to learn from: {len(found.broken)} unreadable, "
            f"{counted(found.copies, 'copy', 'copies')} of labelled photos."
        )
    parts = f"{counted(len(found.images), 'photo')} without a class to learn from"
    if found.copies:
        parts += f"; {counted(found.copies, 'copy', 'copies')} of labelled ones left out"
    if found.broken:
        parts += f"; {len(found.broken)} unreadable ones left out ({SKIPPED})"
    watcher.say(parts)
    return found


def splits_of(dataset: Dataset, recipe: Recipe, checked: Audit) -> Splits:
    """The data's own splits, or the recipe's parts drawn with its seed."""
    return draw_splits(
        dataset,
        validation=recipe.validation,
        test=recipe.test,
        seed=recipe.seed,
        together=checked.copies,
    )


def write_skipped(
    checked: Audit,
    path: Path,
    unlabelled: Unlabelled | None = None,
    gone: Sequence[str] = (),
) -> None:
    """A CSV of what was left out; nothing where that is nothing.

    Args:
        gone: paths of photos that the run began with, and that are not there any more.
    """
    rows = [
        [PurePosixPath(checked.dataset.name_of(image)), fault.kind, fault.text]
        for fault in checked.faults
        for image in fault.left_out
    ]
    broken = unlabelled.broken if unlabelled else ()
    rows += [
        [PurePosixPath(error.source), "unreadable", f"without a class; {error.reason}"]
        for error in broken
    ]
    rows += [[PurePosixPath(each), "gone", "missing or unreadable"] for each in gone]
    if not rows:
        return
    write_csv(path, ["path", "kind", "reason"], rows)
