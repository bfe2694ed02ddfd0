"""How well a gallery recognises photos of its classes and rejects photos of other classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError
from pplcnet.gallery.gallery import Gallery
from pplcnet.gallery.nearest import nearest
from pplcnet.metrics.intervals import Interval, wilson
from pplcnet.metrics.open_set import (
    CurvePoint,
    area_under_roc,
    average_precision_at_r,
    false_acceptance_at,
    open_set_curve,
)
from pplcnet.system.wording import counted

__all__ = ["GalleryEvaluation", "LabelledVector", "evaluate_gallery"]

CHUNK = 256


class LabelledVector(NamedTuple):
    """The embedding of a photo that is not in the gallery, and its class."""

    label: str
    vector: NDArray[np.float32]
    """(D,) of length 1."""


class _Share(NamedTuple):
    """A fraction of a number of photos."""

    right: int
    of: int

    @property
    def value(self) -> float | None:
        return self.right / self.of if self.of else None

    def to_dict(self) -> dict[str, Any]:
        interval: Interval = wilson(self.right, self.of)
        return {"value": self.value, "interval": list(interval), "photos": self.of}

    def to_text(self) -> str:
        if self.value is None:
            return "-"
        low, high = wilson(self.right, self.of)
        return f"{self.value:.4f} (95 % interval {low:.4f} to {high:.4f})"


@dataclass(frozen=True)
class GalleryEvaluation:
    """The figures; None if there are no photos to compute one from."""

    known: int
    """Photos of the gallery's classes."""
    unknown: int
    """Photos of other classes."""
    recall_at_1: _Share
    """Known photos whose most similar photo has their class, whatever the threshold."""
    mean_average_precision_at_r: float | None
    auroc: float | None
    """Of the similarity to the nearest photo, known versus unknown."""
    false_acceptance_at_95: float | None
    """Unknown photos accepted at the threshold that accepts 95 % of the known (FPR at 95 % TPR)."""
    threshold: float | None
    false_acceptance: _Share
    """Unknown photos that the gallery's threshold accepts."""
    false_rejection: _Share
    """Known photos that the threshold rejects."""
    right: _Share
    """Photos answered correctly: known ones with their class, unknown ones with none."""
    curve: Sequence[CurvePoint]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "known_photos": self.known,
            "unknown_photos": self.unknown,
            "recall_at_1": self.recall_at_1.to_dict(),
            "map_at_r": self.mean_average_precision_at_r,
            "auroc": self.auroc,
            "fpr_at_95_tpr": self.false_acceptance_at_95,
            "threshold": self.threshold,
            "false_acceptance": self.false_acceptance.to_dict(),
            "false_rejection": self.false_rejection.to_dict(),
            "right": self.right.to_dict(),
            "curve": [each._asdict() for each in self.curve],
        }

    def to_text(self) -> str:
        """The figures for a terminal."""
        photos = (
            f"{counted(self.known, 'photo')} of the gallery's classes, {self.unknown} of others"
        )
        lines = [
            photos,
            f"recall@1             {self.recall_at_1.to_text()}",
            f"mAP@R                {_figure(self.mean_average_precision_at_r)}",
            f"AUROC                {_figure(self.auroc)}",
            f"FPR at 95 % TPR      {_figure(self.false_acceptance_at_95)}",
            f"at the threshold {_figure(self.threshold)}:",
            f"  false acceptance   {self.false_acceptance.to_text()}",
            f"  false rejection    {self.false_rejection.to_text()}",
            f"  right              {self.right.to_text()}",
        ]
        return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def evaluate_gallery(gallery: Gallery, photos: Iterable[LabelledVector]) -> GalleryEvaluation:
    """Search for every photo and compare the result with its class.

    Args:
        gallery: the gallery to search.
        photos: must not be in the gallery. Those of classes that the gallery lacks count as
            unknown.

    Raises:
        InputError: no photos.
    """
    place = {name: at for at, name in enumerate(gallery.classes)}
    sizes = np.bincount(gallery.labels, minlength=len(gallery.classes))
    known: list[float] = []
    unknown: list[float] = []
    is_first: list[bool] = []
    precisions: list[float] = []
    waiting = iter(photos)
    while some := list(islice(waiting, CHUNK)):
        truth = np.array([place.get(each.label, -1) for each in some])
        is_known = truth >= 0
        most = int(sizes[truth[is_known]].max(initial=1))
        found = nearest(gallery.vectors, np.stack([each.vector for each in some]), most)
        best = found.similarities[:, 0].tolist()
        for at, own in enumerate(truth):
            if own < 0:
                unknown.append(best[at])
                continue
            is_own = gallery.labels[found.rows[at]] == own
            known.append(best[at])
            is_first.append(bool(is_own[0]))
            precisions.append(average_precision_at_r(is_own, int(sizes[own])))
    if not known and not unknown:
        raise InputError("there are no photos to evaluate the gallery on.")
    scores, others = np.array(known, np.float32), np.array(unknown, np.float32)
    threshold = gallery.threshold
    limit = -np.inf if threshold is None else threshold
    accepted = scores >= limit
    right = int((accepted & np.array(is_first, bool)).sum())
    wrongly = int((others >= limit).sum())
    return GalleryEvaluation(
        known=len(known),
        unknown=len(unknown),
        recall_at_1=_Share(sum(is_first), len(known)),
        mean_average_precision_at_r=float(np.mean(precisions)) if precisions else None,
        auroc=area_under_roc(scores, others),
        false_acceptance_at_95=false_acceptance_at(scores, others),
        threshold=threshold,
        false_acceptance=_Share(wrongly, len(unknown)),
        false_rejection=_Share(int((~accepted).sum()), len(known)),
        right=_Share(right + len(unknown) - wrongly, len(known) + len(unknown)),
        curve=open_set_curve(scores, others),
    )
