"""Makes galleries, and adds to and removes from them; `switching.py` puts the result in place."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, compress
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pplcnet.errors import DatasetError, InputError, UnknownNameError
from pplcnet.gallery.class_photos import ClassPhoto, short_digest
from pplcnet.gallery.gallery import Gallery, check_network
from pplcnet.gallery.manifest import GalleryManifest, Network, Part
from pplcnet.gallery.parts import SMALL_ROWS, PartWriter, Row, map_vectors, read_photos
from pplcnet.gallery.switching import check_place, switch, to_change
from pplcnet.runtime.embedding import check_embedding, embedding_size, network_digest
from pplcnet.runtime.model import Model
from pplcnet.system.locking import locked
from pplcnet.system.wording import counted

__all__ = [
    "Added",
    "add_to_gallery",
    "build_gallery",
    "photos_not_in",
    "remove_from_gallery",
    "write_gallery",
]

Progress = Callable[[Iterable[Any]], Iterable[Any]]


class Added(NamedTuple):
    """The result of adding photos."""

    gallery: Gallery
    added: int
    known: int
    """Photos left out because they were already there, byte for byte."""


def build_gallery(
    model: Model[Any],
    photos: Sequence[ClassPhoto],
    out: str | PathLike[str],
    *,
    bundle: str | PathLike[str] = "",
    false_acceptance: float = 0.05,
    dtype: str = "float32",
    overwrite: bool = False,
    progress: Progress = lambda each: each,
) -> Added:
    """Make a gallery of photos. The network need not have been trained on their classes.

    Args:
        model: makes the embeddings.
        photos: from `find_class_photos`.
        out: the gallery's folder.
        bundle: where the model's bundle is; kept for the command line.
        false_acceptance: the rate that the threshold is chosen for, above 0 and below 1.
        dtype: of the stored vectors, "float32" or "float16", which takes half the space.
        overwrite: whether to replace an existing gallery at `out`; otherwise it is an error.
        progress: wraps the embeddings, for a progress bar.

    Raises:
        DatasetError: photos that cannot be read; all of them are named, and nothing is written.
        InputError: a rate or type that is not allowed; `out` holds a gallery and `overwrite` is
            False; or it cannot be written to.
        BundleError: the network was exported without its embedding.
    """
    check_embedding(model.manifest, str(bundle) or "this bundle")
    network = Network(
        name=str(model.manifest.network.get("name", "")),
        digest=network_digest(model.manifest),
        precision=model.choice.precision,
        bundle=os.path.abspath(bundle) if bundle else "",
    )
    out = Path(out)
    check_place(out, overwrite)
    with locked(out):
        check_place(out, overwrite)  # another process may have been faster
        new, known = _without_copies(photos, {})
        gallery = _write(
            out,
            network,
            embedding_size(model.manifest) or 0,
            _rows(model, new, progress),
            dtype=dtype,
            false_acceptance=false_acceptance,
        )
    return Added(gallery, len(new), known)


def write_gallery(
    out: str | PathLike[str],
    network: Network,
    size: int,
    rows: Iterable[Row],
    *,
    dtype: str = "float32",
    false_acceptance: float = 0.05,
    overwrite: bool = False,
) -> Gallery:
    """Make a gallery of existing vectors, in bounded memory.

    Args:
        out: the gallery's folder.
        network: the network that made the vectors.
        size: length of a vector.
        rows: at least one; their vectors have length 1.
        dtype: as in `build_gallery`, like `false_acceptance` and `overwrite`.

    Raises:
        InputError: as `build_gallery`.
    """
    out = Path(out)
    check_place(out, overwrite)
    with locked(out):
        check_place(out, overwrite)
        return _write(out, network, size, rows, dtype=dtype, false_acceptance=false_acceptance)


def add_to_gallery(
    path: str | PathLike[str],
    model: Model[Any],
    photos: Sequence[ClassPhoto],
    *,
    progress: Progress = lambda each: each,
) -> Added:
    """Add photos of existing or new classes, and choose the threshold again.

    Args:
        path: the gallery's folder.
        model: must have the network that the gallery was made with.
        photos: from `find_class_photos`. Photos whose bytes are in the gallery are left out.
        progress: as in `build_gallery`.

    Raises:
        GalleryError: no gallery, or a damaged one.
        DatasetError: photos that cannot be read, or have another class in the gallery; it is
            unchanged.
        InputError: another network or precision; another process is changing the gallery.
    """
    with to_change(path) as (folder, manifest):
        check_network(folder, manifest, model)
        held = {
            digest: photos_of.classes[label]
            for part in manifest.parts
            for photos_of in [read_photos(folder, manifest, part)]
            for digest, label in zip(photos_of.digests, photos_of.labels, strict=True)
        }
        new, known = _without_copies(photos, held)
        if not new:
            return Added(Gallery.open(folder), 0, known)
        *kept, last = manifest.parts
        if last.rows >= SMALL_ROWS:
            kept.append(last)
            before: Iterator[Row] = iter(())
        else:
            before = _rows_of(folder, manifest, last)
        classes = Counter(manifest.classes)
        classes.update(photo.label for photo, _ in new)
        with PartWriter(folder, manifest.size, manifest.dtype) as writer:
            for row in chain(before, _rows(model, new, progress)):
                writer.append(row)
            gallery = switch(folder, manifest, kept, writer, classes)
    return Added(gallery, len(new), known)


def remove_from_gallery(
    path: str | PathLike[str], *, classes: Collection[str] = (), photos: Collection[str] = ()
) -> Gallery:
    """Remove whole classes, or single photos by name, and choose the threshold again.

    Raises:
        GalleryError: no gallery, or a damaged one.
        InputError: a class or photo that is not in the gallery; nothing would be left; or another
            process is changing the gallery.
    """
    with to_change(path) as (folder, manifest):
        for name in classes:
            if name not in manifest.classes:
                raise UnknownNameError("class", name, manifest.classes)
        missing = set(photos)
        with PartWriter(folder, manifest.size, manifest.dtype) as writer:
            kept: list[Part] = []
            left = Counter[str]()
            for part in manifest.parts:
                held = read_photos(folder, manifest, part)
                names = [held.classes[label] for label in held.labels]
                stays = [
                    name not in classes and photo not in photos
                    for name, photo in zip(names, held.photos, strict=True)
                ]
                missing.difference_update(held.photos)
                left.update(compress(names, stays))
                if all(stays):
                    kept.append(part)
                    continue
                for row in compress(_rows_of(folder, manifest, part), stays):
                    writer.append(row)
            if missing:
                raise InputError(
                    f"{folder}: has no photo {', '.join(sorted(missing)[:5])}; "
                    f"'pplcnet gallery show {folder} --names' lists their names."
                )
            if not left:
                raise InputError(f"{folder}: nothing would be left; delete the folder instead.")
            return switch(folder, manifest, kept, writer, left)


def photos_not_in(gallery: Gallery, photos: Iterable[ClassPhoto]) -> list[ClassPhoto]:
    """The photos that are not in the gallery, compared byte for byte."""
    manifest = gallery.manifest
    held = {
        digest
        for part in manifest.parts
        for digest in read_photos(gallery.path, manifest, part).digests
    }
    return [photo for photo in photos if short_digest(photo.path) not in held]


def _without_copies(
    photos: Iterable[ClassPhoto], held: dict[str, str]
) -> tuple[list[tuple[ClassPhoto, str]], int]:
    """The new photos with their digests, and the number of photos that are already there.

    Args:
        held: digest to class of the photos that are already there.
    """
    labels, known = dict(held), 0
    faults: list[str] = []
    new: list[tuple[ClassPhoto, str]] = []
    for photo in photos:
        digest = short_digest(photo.path)
        label = labels.get(digest)
        if label is None:
            labels[digest] = photo.label
            new.append((photo, digest))
        elif label == photo.label:
            known += 1
        else:
            faults.append(f"{photo.path}: is the same file as one of class {label!r}")
    if faults:
        raise DatasetError("photos with two classes:", faults)
    return new, known


def _rows(
    model: Model[Any], photos: Sequence[tuple[ClassPhoto, str]], progress: Progress
) -> Iterator[Row]:
    faults = []
    embeddings = progress(model.embed_many([photo.path for photo, _ in photos]))
    for (photo, digest), each in zip(photos, embeddings, strict=True):
        if each.error is not None:
            faults.append(str(each.error))
        else:
            yield Row(photo.label, photo.name, digest, each.vector)
    if faults:
        raise DatasetError(
            f"{counted(len(faults), 'photo')} cannot be read; repair or remove them:", faults
        )


def _rows_of(folder: Path, manifest: GalleryManifest, part: Part) -> Iterator[Row]:
    """Yield the rows of an existing part."""
    held, vectors = read_photos(folder, manifest, part), map_vectors(folder, manifest, part)
    for label, photo, digest, vector in zip(
        held.labels, held.photos, held.digests, vectors, strict=True
    ):
        yield Row(held.classes[label], photo, digest, np.array(vector))


def _write(
    out: Path,
    network: Network,
    size: int,
    rows: Iterable[Row],
    *,
    dtype: str,
    false_acceptance: float,
) -> Gallery:
    if dtype not in ("float32", "float16"):
        raise InputError(f"dtype is {dtype!r}; it must be 'float32' or 'float16'.")
    if not 0 < false_acceptance < 1:
        raise InputError(f"false_acceptance is {false_acceptance}; it must be above 0 and below 1.")
    classes = Counter[str]()
    with PartWriter(out, size, dtype) as writer:
        for row in rows:
            writer.append(row)
            classes[row.label] += 1
        if not classes:
            raise InputError("a gallery needs at least one photo.")
        manifest = GalleryManifest(network, size, dtype, classes, false_acceptance=false_acceptance)
        return switch(out, manifest, [], writer, classes)
