"""Evaluated images that nearly duplicate a training image, and their effect on the score."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.image_files import read_image_file
from pplcnet.data.near_duplicates import HASHED_SIDE, fingerprint, nearest, stacked
from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import decode, stated_pixels
from pplcnet.pages.pictures import thumbnails
from pplcnet.pages.section import Scored, Section
from pplcnet.reports.report_data import Subject
from pplcnet.system.parallel import Room, in_order
from pplcnet.system.progress import Watcher
from pplcnet.tasks.task import Measure

__all__ = ["copies_section"]

SHOWN = 24


def copies_section(
    answers: Scored,
    subject: Subject,
    measure: Measure,
    known: Mapping[Path, NDArray[np.uint64]],
    watcher: Watcher,
) -> Section:
    """Near-duplicates between the evaluated images and the training images.

    Evaluated images that were themselves trained on are counted but not compared.

    Args:
        answers: those to the evaluated images.
        known: fingerprints by path, as far as they are known already.
    """
    if importlib.util.find_spec("imagehash") is None:
        values = {"missing": "imagehash is not installed here: pip install 'pplcnet[report]'."}
    elif not len(subject.train):
        values = {"missing": "it is not known which photos were trained on, or they are gone."}
    else:
        values = _values(answers, subject, known, watcher)
    return Section("copies", "Copies", "copies.html", {"measure": measure, **values})


def _values(
    answers: Scored,
    subject: Subject,
    known: Mapping[Path, NDArray[np.uint64]],
    watcher: Watcher,
) -> dict[str, Any]:
    train = subject.train
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
    is_trained = np.array(subject.is_trained, bool)
    reported = [
        at
        for at, image in enumerate(answers.dataset.images)
        if image.path in prints and not is_trained[at]
    ]
    trained = [image for image in train.images if image.path in prints]
    pairs = []
    if reported and trained:
        found = nearest(
            stacked([prints[answers.dataset.images[at].path] for at in reported]),
            stacked([prints[image.path] for image in trained]),
        )
        pairs = [
            (at, trained[other], int(bits))
            for at, other, bits in zip(reported, found.place, found.distance, strict=True)
            if other >= 0
        ]
        pairs.sort(key=lambda pair: pair[2])
    near = np.zeros(len(answers.dataset), bool)
    near[[at for at, _, _ in pairs]] = True
    return {
        "missing": "",
        "trained": len(trained),
        "count": len(pairs),
        "trained_on": subject.trained,
        "photos": int((~is_trained).sum()),
        "all": answers.score(~is_trained),
        "without": answers.score(~near & ~is_trained),
        "only": answers.score(near),
        "pairs": _shown(answers, train, pairs[:SHOWN]),
    }


def _shown(answers: Scored, train: Dataset, pairs: list[Any]) -> list[dict[str, Any]]:
    images = answers.dataset.images
    pictures = thumbnails(path for at, other, _ in pairs for path in (images[at].path, other.path))
    return [
        {
            "distance": bits,
            "is_disputed": _is_disputed(answers.dataset, images[at], train, other),
            "photos": [
                {
                    "picture": pictures.get(images[at].path),
                    "name": answers.dataset.name_of(images[at]),
                    "label": _named(answers.dataset, images[at]),
                    "part": "reported",
                },
                {
                    "picture": pictures.get(other.path),
                    "name": train.name_of(other),
                    "label": _named(train, other),
                    "part": "trained on",
                },
            ],
        }
        for at, other, bits in pairs
    ]


def _named(dataset: Dataset, image: LabelledImage) -> str:
    """The image's annotation as text."""
    return image.annotation.to_text(dataset.classes)


def _is_disputed(
    dataset: Dataset, image: LabelledImage, others: Dataset, other: LabelledImage
) -> bool:
    """Whether the annotations of two images contradict each other."""
    classes = list(dict.fromkeys((*dataset.classes, *others.classes)))
    place = {name: index for index, name in enumerate(classes)}
    annotations = [
        annotation
        for part, each in ((dataset, image), (others, other))
        if (
            annotation := each.annotation.renumbered(
                {at: place[name] for at, name in enumerate(part.classes)}, len(classes)
            )
        )
    ]
    return type(image.annotation).are_contradictory(annotations)


def _hashed(paths: list[Path], watcher: Watcher) -> dict[Path, NDArray[np.uint64]]:
    """Fingerprints of the images that can be read, by path."""
    room = Room()

    def hash_of(path: Path) -> NDArray[np.uint64] | None:
        try:
            content = read_image_file(path).content
            with room.for_pixels(stated_pixels(content)):
                return fingerprint(decode(content, at_least=HASHED_SIDE))
        except (ImageError, OSError):
            return None

    prints = watcher.watch(in_order(hash_of, paths), len(paths), "find near-duplicates")
    return {path: each for path, each in zip(paths, prints, strict=True) if each is not None}
