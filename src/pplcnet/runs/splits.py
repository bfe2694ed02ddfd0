"""The splits of a resumed run, read from its split.csv.

Every photo stays in its split, even if the photos were moved, some are gone, or a later version
would draw other splits.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pplcnet.data.dataset import SPLITS, Dataset, LabelledImage
from pplcnet.data.splits import Splits, read_splits
from pplcnet.errors import InputError
from pplcnet.runs.files import SKIPPED, SPLIT
from pplcnet.runs.stages import RunContext
from pplcnet.system.wording import counted
from pplcnet.tasks import find

__all__ = ["Resplit", "resplit", "splits_as_before", "splits_digest"]

SHOWN = 5


class Resplit(NamedTuple):
    """The photos in the run's original splits, and what has changed since."""

    splits: Splits
    gone: tuple[str, ...]
    """Paths in split.csv that no longer have a readable photo."""
    new: tuple[str, ...]
    """Names of photos that split.csv does not list."""
    changed: tuple[str, ...]
    """Names of photos whose content has changed."""
    is_known: bool
    """Whether split.csv records the files' content."""


def splits_digest(splits: Splits) -> str:
    """sha256 over the names of the photos and their splits, in order."""
    digest = sha256()
    for split in SPLITS:
        part: Dataset = getattr(splits, split)
        for image in part.images:
            digest.update(f"{split}\t{part.name_of(image)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def resplit(
    dataset: Dataset, contents: Mapping[Path, str], path: Path, seed: int | None
) -> Resplit:
    """Split a data set according to the split.csv at `path`.

    Photos are recognised by their path, or by their content if they were moved.

    Args:
        contents: sha256 of the photos' files.
        seed: the seed of the splits; None if the data's own splits were used.

    Raises:
        InputError: the file is missing or damaged, or a class has no photos left.
    """
    try:
        recorded = read_splits(path, find(dataset.task).annotation)
    except InputError as error:
        raise InputError(f"{error} Restore a good copy, or start over with --overwrite.") from error
    missing = [name for name in recorded.classes if name not in dataset.classes]
    if missing:
        raise InputError(
            f"{dataset.place}: has no readable photos of {_names(missing)}, which the run was "
            "started with; give the run's own photos, or start a new run with another --out."
        )
    images = {os.path.realpath(image.path): image for image in dataset.images}
    by_content: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in dataset.images:
        by_content[contents.get(image.path, "")].append(image)
    parts: dict[str, list[LabelledImage]] = {split: [] for split in SPLITS}
    gone: list[str] = []
    changed: list[str] = []
    taken: set[LabelledImage] = set()
    for before, content in zip(recorded.images, recorded.contents, strict=True):
        there = images.get(os.path.realpath(before.path))
        is_same = there is not None and content in ("", contents.get(there.path))
        moved = [each for each in by_content.get(content, ()) if each not in taken]
        if is_same or (moved and content):
            image = there if there is not None and is_same else moved[0]
            taken.add(image)
            parts[str(before.split)].append(image)
        elif there is not None:
            taken.add(there)
            changed.append(dataset.name_of(there))
        else:
            gone.append(str(before.path))
    new = [dataset.name_of(each) for each in dataset.images if each not in taken]
    train, validation, test = (dataset.keep(parts[split]) for split in SPLITS)
    splits_of = Splits(train, validation, test, seed)
    is_known = all(recorded.contents)
    return Resplit(splits_of, tuple(gone), tuple(new), tuple(changed), is_known)


def _check_photos(out: Path, found: Resplit, *, leave_out: bool) -> None:
    """InputError that names what has changed; missing photos are allowed with `leave_out`."""
    other = [(found.gone, "gone or unreadable"), (found.new, "new"), (found.changed, "changed")]
    listed = "; ".join(f"{what}: {_names(names)}" for names, what in other if names)
    if not listed:
        return
    can_leave_out = found.gone and not found.new and not found.changed and found.is_known
    if not (can_leave_out and leave_out):
        advice = (
            "restore them, or continue without them with --resume --skip-broken"
            if can_leave_out
            else "restore them, or start a new run"
        )
        raise InputError(
            f"{out}: the photos are not those that the run started with ({listed}); {advice}."
        )
    splits = found.splits
    parts = (splits.train, splits.validation)
    counts = splits.train.class_counts()
    empty = [name for name, count in zip(splits.train.classes, counts, strict=True) if not count]
    if empty or not all(map(len, parts)):
        raise InputError(
            f"{out}: without the photos that are gone ({_names(found.gone)}) there are none left "
            f"{'to train ' + ' and '.join(map(repr, empty)) if empty else 'to train or validate'} "
            "with; restore them."
        )


def splits_as_before(context: RunContext, *, leave_out: bool) -> tuple[Splits, dict[str, Any]]:
    """The splits of a resumed run, without missing photos, and its run.json.

    Args:
        context: `run` is rewritten if photos are left out.
        leave_out: continue without missing photos.

    Raises:
        InputError: the photos or split.csv are not those that the run started with; or split.csv is
            damaged; or too few photos are left.
    """
    folder, images, run = context.folder, context.images, context.run
    dataset, path = images.dataset, folder.path / SPLIT
    is_drawn = not (dataset.has_splits and len(dataset.subset("validation")))
    seed = context.recipe.seed if is_drawn else None
    found = resplit(dataset, images.labelled.contents, path, seed)
    known = run.get("division")
    if images.digest == run["digest"] and known in (None, splits_digest(found.splits)):
        return found.splits, run
    _check_photos(folder.path, found, leave_out=leave_out)
    if not found.gone:
        folder.check_digest(run, images.digest)
        raise InputError(
            f"{path}: has other splits than the run started with; restore the right file, or start "
            "over with --overwrite."
        )
    context.watcher.say(
        f"continues without {counted(len(found.gone), 'photo')} of the run that "
        f"{'is' if len(found.gone) == 1 else 'are'} gone or unreadable ({SKIPPED})"
    )
    left_out = [*run.get("left_out", ()), *found.gone]
    # Before split.csv is rewritten: after that, rows of missing photos no longer count.
    run = folder.change(
        run,
        {
            "digest": images.digest,
            "division": splits_digest(found.splits),
            "left_out": left_out,
            "writes": list(dict.fromkeys([*run.get("writes", ()), SKIPPED])),
        },
    )
    images.write_skipped(folder.path / SKIPPED, left_out)
    return found.splits, run


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
