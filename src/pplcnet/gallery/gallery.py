"""Gallery: photos as vectors, with a search for those most similar to a new photo."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.members import read_member
from pplcnet.errors import BundleError, GalleryError, InputError
from pplcnet.gallery.index import PartIndex, nearest_by_index, open_indexes
from pplcnet.gallery.manifest import GALLERY_FILE, GALLERY_LIMIT, GalleryManifest
from pplcnet.gallery.nearest import Vectors, nearest
from pplcnet.gallery.parts import PartChangedError, map_vectors, read_photos
from pplcnet.runtime.embedding import network_digest
from pplcnet.runtime.model import Model
from pplcnet.system.wording import counted

__all__ = ["Found", "Gallery", "Match", "read_manifest"]

T = TypeVar("T")
_ATTEMPTS = 100
_PAUSE_SECONDS = 0.01


class Match(NamedTuple):
    """A photo in the gallery, and its similarity to the query."""

    label: str
    """Its class."""
    photo: str
    """Its name, relative to the folder it was added from."""
    similarity: float
    """The cosine of the two embeddings, -1 to 1."""


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    matches: tuple[Match, ...]
    """The most similar photos, best first."""
    threshold: float | None
    """The lowest similarity at which the best match counts; None if every best match does."""

    @property
    def label(self) -> str | None:
        """The class of the most similar photo; None if the photo belongs to no class."""
        best = self.matches[0]
        return best.label if self.threshold is None or best.similarity >= self.threshold else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "label": self.label,
            "threshold": self.threshold,
            "matches": [
                {**each._asdict(), "similarity": round(each.similarity, 6)} for each in self.matches
            ],
        }


class Gallery:
    """An opened gallery. It is thread-safe and fork-safe, and can be pickled.

    The vectors stay in their files and are read for comparison, so memory holds only a few
    bytes and the name of each photo, besides the system's file cache.
    """

    def __init__(
        self,
        path: Path,
        manifest: GalleryManifest,
        vectors: Sequence[Vectors],
        labels: NDArray[np.int32],
        photos: Sequence[str],
        indexes: Sequence[PartIndex | None] = (),
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.classes: tuple[str, ...] = tuple(manifest.classes)
        self.vectors = vectors
        """One (N, D) array per part."""
        self.labels = labels
        """(N,) for the rows of all parts, indices into `classes`."""
        self.photos = photos
        """(N) names of the photos."""
        self.indexes = indexes
        """One per part, None for a part without; () if there are none."""

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Gallery:
        """Open a gallery's folder and verify the checksum of every file.

        Raises:
            GalleryError: no gallery, or a damaged one.
        """
        folder = Path(path)
        return _read_consistently(folder, lambda manifest: cls.of(folder, manifest))

    @classmethod
    def of(cls, path: Path, manifest: GalleryManifest) -> Gallery:
        """Open the gallery with the files that a manifest lists; errors as in `open`."""
        place = {name: at for at, name in enumerate(manifest.classes)}
        labels: list[NDArray[np.int32]] = []
        photos: list[str] = []
        for part in manifest.parts:
            held = read_photos(path, manifest, part)
            if not place.keys() >= set(held.classes):
                raise GalleryError(
                    f"{path}: {part.photos} has classes that the gallery does not have."
                )
            of_part = np.array([place[name] for name in held.classes], np.int32)
            labels.append(of_part[held.labels])
            photos += held.photos
        vectors = [map_vectors(path, manifest, part) for part in manifest.parts]
        indexes = open_indexes(manifest)
        return cls(path, manifest, vectors, np.concatenate(labels), photos, indexes)

    def __reduce__(self) -> tuple[Any, ...]:
        return Gallery.open, (self.path,)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return (
            f"<Gallery {str(self.path)!r}: {counted(len(self), 'photo')} of "
            f"{counted(len(self.classes), 'class')}, {self.manifest.network.name}>"
        )

    def to_text(self) -> str:
        """The gallery's content and how its threshold was chosen, for a terminal."""
        manifest, chosen = self.manifest, self.manifest.threshold
        lines = [
            f"{self.path}: {counted(len(self), 'photo')} of {counted(len(self.classes), 'class')}",
            f"network    {manifest.network.name} in {manifest.network.precision}, "
            f"{manifest.size} numbers in {manifest.dtype}",
        ]
        if chosen is None:
            lines.append("threshold  none: a single class has nothing to choose it on")
            return "\n".join(lines)
        rejected = chosen.false_rejection
        lines.append(
            f"threshold  {chosen.similarity:.4f}, for a false acceptance of {chosen.wanted:g}; on "
            f"{counted(chosen.photos, 'photo')} of the gallery it accepts "
            f"{chosen.false_acceptance:.1%} without their own class"
            + ("" if rejected is None else f", and rejects {rejected:.1%} with it")
        )
        return "\n".join(lines)

    @property
    def threshold(self) -> float | None:
        """The lowest similarity at which a photo belongs to a class; None for a single class.

        The manifest's `threshold` records what it was chosen on.
        """
        chosen = self.manifest.threshold
        return None if chosen is None else chosen.similarity

    def has_changed(self) -> bool:
        """Whether another process has changed the gallery since it was opened."""
        return read_manifest(self.path) != self.manifest

    def check_model(self, model: Model[Any]) -> None:
        """Raise InputError unless the model's embeddings can be compared with the gallery's."""
        check_network(self.path, self.manifest, model)

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        count: int = 5,
        threshold: float | None = None,
        is_exact: bool = False,
    ) -> Found:
        """Find the most similar photos, by comparing with all or through an index.

        Args:
            vector: (D,) float32 of length 1, as `Model.embed` gives it.
            count: number of matches, at least 1.
            threshold: used instead of the gallery's own.
            is_exact: compare with all photos even if 'pplcnet gallery index' has made an index.

        Raises:
            InputError: a vector of another size, or not of length 1.
        """
        return self.search_many(
            np.asarray(vector)[np.newaxis], count=count, threshold=threshold, is_exact=is_exact
        )[0]

    def search_many(
        self,
        vectors: NDArray[np.float32],
        *,
        count: int = 5,
        threshold: float | None = None,
        is_exact: bool = False,
    ) -> list[Found]:
        """As `search`, for (Q, D) vectors compared together, which is faster than one by one."""
        vectors = np.asarray(vectors)
        size = self.manifest.size
        if vectors.ndim != 2 or vectors.shape[1] != size or vectors.dtype != np.float32:
            raise InputError(
                f"the vectors are {vectors.dtype} of shape {vectors.shape}; {self.path} takes "
                f"float32 (N, {size})."
            )
        # Written so that NaN is refused.
        if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3).all():
            raise InputError("the vectors do not have length 1; Model.embed gives such vectors.")
        if count < 1:
            raise InputError(f"count is {count}; it must be at least 1.")
        if self.indexes and len(vectors) and not is_exact:
            found = nearest_by_index(self.vectors, self.indexes, vectors, count)
        else:
            found = nearest(self.vectors, vectors, count)
        threshold = self.threshold if threshold is None else threshold
        return [
            Found(tuple(map(self._match, rows, similarities)), threshold)
            for rows, similarities in zip(found.rows, found.similarities, strict=True)
        ]

    def _match(self, row: int, similarity: float) -> Match:
        return Match(self.classes[self.labels[row]], self.photos[row], float(similarity))


def check_network(path: Path, manifest: GalleryManifest, model: Model[Any]) -> None:
    """Raise InputError unless a model's embeddings can be compared with a gallery's."""
    made_by = manifest.network
    if network_digest(model.manifest) != made_by.digest:
        raise InputError(
            f"{path}: was made with another network ({made_by.name}, {made_by.bundle}); use that "
            "bundle, or build the gallery again with this one."
        )
    if model.choice.precision != made_by.precision:
        raise InputError(
            f"{path}: its vectors were computed in {made_by.precision}, but the bundle runs in "
            f"{model.choice.precision}; open it with precision={made_by.precision!r}."
        )


def read_manifest(path: str | PathLike[str]) -> GalleryManifest:
    """Read the manifest of the gallery in a folder; GalleryError if there is none."""
    folder = Path(path)
    if not os.path.isdir(folder):
        raise GalleryError(f"{folder}: no such gallery.")
    if not os.path.isfile(folder / GALLERY_FILE):
        raise GalleryError(
            f"{folder}: is not a gallery; 'pplcnet gallery build BUNDLE PHOTOS --out {folder}' "
            "makes one."
        )
    try:
        text = read_member(folder, GALLERY_FILE, GALLERY_LIMIT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GalleryError(f"{folder}: {GALLERY_FILE} is not UTF-8 text.") from error
    except BundleError as error:
        raise GalleryError(str(error)) from error
    return GalleryManifest.from_json(text, str(folder))


def _read_consistently(path: Path, use: Callable[[GalleryManifest], T]) -> T:
    """Call `use` on a gallery's manifest; retry if another process has just written the gallery."""
    for _ in range(_ATTEMPTS):
        manifest = read_manifest(path)
        try:
            return use(manifest)
        except PartChangedError:
            if read_manifest(path) == manifest:
                raise
            time.sleep(_PAUSE_SECONDS)
    return use(read_manifest(path))
