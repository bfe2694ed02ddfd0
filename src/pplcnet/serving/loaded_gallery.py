"""A gallery in a worker: embeds a photo and finds the most similar ones in the gallery."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import GalleryError, PPLCNetError
from pplcnet.gallery.gallery import Gallery, read_manifest
from pplcnet.gallery.manifest import GalleryManifest
from pplcnet.gallery.parts import PartChangedError
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.embedding import network_digest, unit_length
from pplcnet.runtime.engines.engine import open_engine, run_padded
from pplcnet.runtime.network import Network, check_finite, read_network
from pplcnet.runtime.selection import Choice
from pplcnet.serving.loaded_model import NAME, TRIAL, Answer
from pplcnet.system.processor import processor_name
from pplcnet.tasks.task import EMBEDDING

__all__ = ["LoadedGallery", "network_of"]


def network_of(
    gallery: GalleryManifest, path: str, bundles: Sequence[str], engine: str | None
) -> Network:
    """Find the network that made a gallery's vectors, in the same precision.

    Args:
        path: the gallery's folder, for messages.
        bundles: other places to look for it, besides its original one.

    Raises:
        GalleryError: none of the bundles contains it.
    """
    made_by = gallery.network
    for bundle in filter(None, (made_by.bundle, *bundles)):
        try:
            network = read_network(bundle, engine, made_by.precision)
        except PPLCNetError:  # missing, damaged, or without that precision
            continue
        if network_digest(network.manifest) == made_by.digest:
            return network
    raise GalleryError(
        f"{path}: the network that made it ({made_by.name} in {made_by.precision}, "
        f"{made_by.bundle or 'of no known place'}) was not found; serve its bundle too, or build "
        "the gallery again."
    )


class LoadedGallery:
    """A gallery and the network that made it, ready to search."""

    def __init__(
        self,
        path: str,
        gallery: GalleryManifest,
        manifest: Manifest,
        content: bytes,
        choice: Choice,
        *,
        is_trusted: bool,
    ) -> None:
        """Verify the checksums of the gallery's files, open the engine and try it.

        Args:
            gallery: its manifest when it was read; if its files have been replaced since, the
                new manifest counts.

        Raises:
            BundleError, GalleryError, MissingDependencyError: it cannot be used here.
        """
        self._gallery = _open(path, gallery)
        self._manifest, self._choice = manifest, choice
        self._preprocessing = manifest.preprocessing_on(processor_name())
        self._engine = open_engine(
            choice.engine,
            content,
            precision=choice.precision,
            threads=1,
            streams=1,
            sizes=Sizes.of(manifest),
            outputs=(EMBEDDING,),
            trusted=is_trusted,
        )
        self.search(np.full(TRIAL, 127, np.uint8), 1, None)

    def describe(self) -> dict[str, Any]:
        """What the server tells its clients; plain values."""
        gallery, network = self._gallery, self._gallery.manifest.network
        return {
            "photos": len(gallery),
            "classes": list(gallery.classes),
            "threshold": gallery.threshold,
            "network": network.name,
            "engine": self._choice.engine,
            "precision": self._choice.precision,
        }

    def search(self, photo: Any, most: int, threshold: float | None) -> Answer:
        """The most similar photos, and the class or none, as in `Found.to_dict`.

        Args:
            photo: the bytes of its file.
            most: largest number of photos.
            threshold: used instead of the gallery's own.

        Raises:
            ImageError: the photo cannot be used.
            BundleError: the embedding is NaN or infinite.
        """
        started = time.perf_counter_ns()
        placed = self._preprocessing.place(photo)
        decoded = time.perf_counter_ns()
        outputs = run_padded(self._engine, placed.pixels[np.newaxis])
        one = {name: each[0] for name, each in outputs.items()}
        check_finite(one, NAME, self._choice)
        ran = time.perf_counter_ns()
        found = self._gallery.search(unit_length(one[EMBEDDING]), count=most, threshold=threshold)
        taken = time.perf_counter_ns() - ran
        return Answer({}, None, found.to_dict(), decoded - started, ran - decoded, taken)


def _open(path: str, gallery: GalleryManifest) -> Gallery:
    try:
        return Gallery.of(Path(path), gallery)
    except PartChangedError:
        now = read_manifest(path)
        if now.network != gallery.network:
            raise
        return Gallery.open(path)
