"""Reported photos that were nearly trained on, and what they do to the score."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.dataset import Dataset
from pplcnet.decoding import decode
from pplcnet.errors import ImageError
from pplcnet.processor import available_cores
from pplcnet.progress import Watcher
from pplcnet.reporting.answers import Answers
from pplcnet.reporting.figures import wilson
from pplcnet.reporting.pictures import thumbnails
from pplcnet.similarity import HASHED_SIDE, fingerprint, nearest, stacked

__all__ = ["leakage_context"]

SHOWN = 24


def leakage_context(
    answers: Answers,
    train: Dataset,
    known: Mapping[Path, NDArray[np.uint64]],
    watcher: Watcher,
) -> dict[str, Any]:
    """Near-duplicates between the reported photos and the training photos, for the template.

    Args:
        known: fingerprints that are there already, by path.
    """
    if importlib.util.find_spec("imagehash") is None:
        return {"missing": "imagehash is not installed here: pip install 'pplcnet[report]'."}
    if not len(train):
        return {"missing": "Which photos were trained on is not known, or they are gone."}
    prints = {
        **known,
        **_hashed(
            [
                image.path
                for image in (*answers.dataset.images, *train.images)
                if image.path not in known
            ],
            watcher,
        ),
    }
    reported = [at for at, image in enumerate(answers.dataset.images) if image.path in prints]
    trained = [image for image in train.images if image.path in prints]
    found = nearest(
        stacked([prints[answers.dataset.images[at].path] for at in reported]),
        stacked([prints[image.path] for image in trained]),
    )
    near = np.zeros(len(answers.labels), bool)
    near[np.asarray(reported)[found.place >= 0]] = True
    pairs = [
        (at, trained[other], int(bits))
        for at, other, bits in zip(reported, found.place, found.distance, strict=True)
        if other >= 0
    ]
    pairs.sort(key=lambda pair: pair[2])
    return {
        "missing": "",
        "trained": len(trained),
        "count": len(pairs),
        "all": _score(answers.is_right),
        "without": _score(answers.is_right[~near]),
        "only": _score(answers.is_right[near]),
        "pairs": _shown(answers, train, pairs[:SHOWN]),
    }


def _score(is_right: NDArray[np.bool_]) -> dict[str, Any] | None:
    if not len(is_right):
        return None
    count, right = len(is_right), int(is_right.sum())
    return {"photos": count, "top1": right / count, "interval": wilson(right, count)}


def _shown(answers: Answers, train: Dataset, pairs: list[Any]) -> list[dict[str, Any]]:
    images = answers.dataset.images
    pictures = thumbnails(path for at, other, _ in pairs for path in (images[at].path, other.path))
    return [
        {
            "distance": bits,
            "is_right": bool(answers.is_right[at]),
            "photos": [
                {
                    "picture": pictures.get(images[at].path),
                    "name": answers.dataset.name_of(images[at]),
                    "label": answers.classes[answers.labels[at]],
                    "part": "reported",
                },
                {
                    "picture": pictures.get(other.path),
                    "name": train.name_of(other),
                    "label": train.classes[other.label],
                    "part": "trained on",
                },
            ],
        }
        for at, other, bits in pairs
    ]


def _hashed(paths: list[Path], watcher: Watcher) -> dict[Path, NDArray[np.uint64]]:
    """Fingerprints of the photos that can be read."""

    def look(path: Path) -> NDArray[np.uint64] | None:
        try:
            return fingerprint(decode(path, at_least=HASHED_SIDE))
        except ImageError:
            return None

    with ThreadPoolExecutor(available_cores()) as pool:
        prints: Iterable[Any] = watcher.watch(pool.map(look, paths), len(paths), "look for copies")
        return {path: mark for path, mark in zip(paths, prints, strict=True) if mark is not None}
