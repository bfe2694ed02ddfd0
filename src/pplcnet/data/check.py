"""Checks labelled images before anything is trained on them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.audit import Audit, AuditRules, audit_dataset, contradict, names_of
from pplcnet.data.dataset import SPLITS, Dataset, LabelledImage
from pplcnet.data.near_duplicates import group_similar, stacked
from pplcnet.system.wording import counted

__all__ = ["Check", "Group", "check", "near_duplicates"]

TWO_LABELS, TWO_SPLITS = "near-duplicates, two labels", "near-duplicates, two splits"


class Problem(NamedTuple):
    """Something to fix."""

    kind: str
    text: str
    images: tuple[LabelledImage, ...] = ()


Group = tuple[LabelledImage, ...]
"""A group of near-duplicates."""


class Sizes(NamedTuple):
    """Sizes of all readable images, each (N,) float64."""

    short_side: NDArray[np.float64]
    """In pixels."""
    megapixels: NDArray[np.float64]
    aspect: NDArray[np.float64]
    """Width over height."""


@dataclass(frozen=True)
class Check:
    """The result of `check`."""

    audit: Audit
    groups: tuple[Group, ...] | None
    """Near-duplicates, except groups of exact copies only; None if imagehash is not installed."""

    @property
    def place(self) -> Path:
        """The path that was checked."""
        return self.dataset.place

    @property
    def dataset(self) -> Dataset:
        """The data set that was checked."""
        return self.audit.dataset

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that occur, or "all"."""
        found = {image.split for image in self.dataset.images}
        return tuple(split for split in SPLITS if split in found) or ("all",)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The audit's faults, and near-duplicates with two labels or in two splits."""
        faults = [
            Problem(each.kind, each.text, (*each.left_out, *(image for image, _ in each.mended)))
            for each in self.audit.faults
        ]
        return (*faults, *(each for group in self.groups or () for each in self._of(group)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that need no fixing."""
        notes = list(self.audit.notes)
        harmless = [group for group in self.groups or () if not list(self._of(group))]
        if harmless:
            number = sum(map(len, harmless))
            notes.append(
                f"{number} photos are near-duplicates of others in the same class and split "
                f"({counted(len(harmless), 'group')}): such photos count twice."
            )
        if self.groups is None:
            notes.append(
                "near-duplicates were not searched for: this needs imagehash (pip install "
                "'pplcnet[report]')."
            )
        return tuple(notes)

    def counts(self) -> dict[str, dict[str, int]]:
        """The number of images by class, then split."""
        table = {name: dict.fromkeys(self.splits, 0) for name in self.dataset.classes}
        for image in self.dataset.images:
            split = image.split or ("train" if self.dataset.has_splits else "all")
            for label in image.shown:
                row = table[self.dataset.classes[label]]
                row[split] = row.get(split, 0) + 1
        return table

    def sizes(self) -> Sizes:
        """Short side, megapixels and aspect ratio of the readable images."""
        sides = np.array(
            [(each.width, each.height) for each in self.audit.facts.values()], np.float64
        ).reshape(-1, 2)
        return Sizes(sides.min(axis=1), sides.prod(axis=1) / 1e6, sides[:, 0] / sides[:, 1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `pplcnet check --help` describes them."""
        name = self.dataset.name_of
        return {
            "photos": str(self.place),
            "images": len(self.dataset),
            "classes": list(self.dataset.classes),
            "digest": self.audit.digest,
            "counts": self.counts(),
            "problems": [
                {"kind": each.kind, "text": each.text, "images": [name(i) for i in each.images]}
                for each in self.problems
            ],
            "notes": list(self.notes),
            "near_duplicates": None
            if self.groups is None
            else [
                [
                    {
                        "name": name(image),
                        "label": image.annotation.to_text(self.dataset.classes),
                        "split": image.split,
                    }
                    for image in group
                ]
                for group in self.groups
            ],
            "sizes": {key: _distribution(values) for key, values in self.sizes()._asdict().items()},
        }

    def _of(self, group: Group) -> Iterable[Problem]:
        names = names_of(self.dataset, group)
        if contradict(group):
            yield Problem(TWO_LABELS, f"near-duplicates with two labels: {names}", group)
        if len({image.split for image in group}) > 1:
            yield Problem(TWO_SPLITS, f"near-duplicates in two splits: {names}", group)


def check(
    dataset: Dataset,
    rules: AuditRules,
    *,
    workers: int | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda opened, total: opened,
) -> Check:
    """Open every image; find all faults and near-duplicates.

    Args:
        rules: those of the data set's task.
        workers: threads that decode; None for one on each core.
        progress: wraps the stream of opened images, given their total, for a progress bar.
    """
    is_able = importlib.util.find_spec("imagehash") is not None
    audited = audit_dataset(
        dataset, rules, workers=workers, progress=progress, fingerprints=is_able
    )
    groups = near_duplicates(audited) if is_able else None
    return Check(audited, groups)


def near_duplicates(audited: Audit) -> tuple[Group, ...]:
    """Near-duplicates in an audit with fingerprints, except groups of exact copies only."""
    images = [image for image in audited.dataset.images if image.path in audited.facts]
    facts = [audited.facts[image.path] for image in images]
    prints = stacked([each.fingerprint for each in facts if each.fingerprint is not None])
    return tuple(
        tuple(images[at] for at in group)
        for group in group_similar(prints)
        if len({facts[at].pixels for at in group}) > 1
    )


def _distribution(values: NDArray[np.float64]) -> dict[str, Any]:
    if not len(values):
        return {"least": None, "quartiles": [], "most": None, "histogram": None}
    counts, edges = np.histogram(values, bins=20)
    return {
        "least": float(values.min()),
        "quartiles": np.percentile(values, [25, 50, 75]).round(4).tolist(),
        "most": float(values.max()),
        "histogram": {"edges": edges.round(4).tolist(), "counts": counts.tolist()},
    }
