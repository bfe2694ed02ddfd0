"""How typical an image is of those that a network was trained on, by its embedding."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import BundleError
from pplcnet.imaging.geometry import Geometry
from pplcnet.runtime.embedding import embedding_size, unit_length
from pplcnet.tasks.task import EMBEDDING, Decoder, Outputs, P

__all__ = ["FACTS", "TYPICALITY_FILE", "Typicality", "read_typicality", "with_typicality"]

TYPICALITY_FILE = "typicality.npz"
FACTS = "typicality"
"""The key in a manifest's `calibration`."""
MOST_DIRECTIONS, MOST_DISTANCES = 256, 1000
ARRAYS = ("mean", "directions", "variances", "rest")


@dataclass(frozen=True)
class Typicality:
    """A normal distribution of embeddings of length 1, and how far validation images are from it.

    It has a variance of its own along some directions and the same along all others (probabilistic
    PCA, Tipping and Bishop 1999), so that the Mahalanobis distance takes few multiplications.
    """

    mean: NDArray[np.float32]
    """(D,)"""
    directions: NDArray[np.float32]
    """(R, D), orthonormal."""
    variances: NDArray[np.float32]
    """(R,) along the directions."""
    rest: float
    """The variance along every other direction."""
    distances: NDArray[np.float64]
    """(Q,) of validation images, ascending."""

    def distance(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Squared Mahalanobis distances of (..., D) vectors of length 1, (...)."""
        offsets = vectors - self.mean
        along = offsets @ self.directions.T
        inside = np.square(along, dtype=np.float64)
        whole = np.square(offsets, dtype=np.float64).sum(axis=-1)
        outside = np.maximum(whole - inside.sum(axis=-1), 0.0)
        found: NDArray[np.float64] = (inside / self.variances).sum(axis=-1) + outside / self.rest
        return found

    def of(self, vector: NDArray[np.float32]) -> float:
        """The share of images like those of the validation that are no more typical than this one.

        Above 0 and at most 1: of Q validation images and this one, those at least as far away
        (the p-value of conformal prediction, Vovk et al. 2005).
        """
        count = len(self.distances)
        nearer = int(np.searchsorted(self.distances, float(self.distance(vector)), "left"))
        return (1 + count - nearer) / (1 + count)

    def content(self) -> bytes:
        """The distribution as the bundle's file."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        np.savez(buffer, **arrays)
        return buffer.getvalue()


def with_typicality(decode: Decoder[P], typicality: Typicality) -> Decoder[P]:
    """A decoder whose predictions say how typical the image is."""

    def decode_both(outputs: Outputs, geometry: Geometry, source: str) -> P:
        found = typicality.of(unit_length(outputs[EMBEDDING]))
        return replace(decode(outputs, geometry, source), typicality=found)

    return decode_both


def read_typicality(bundle: Bundle) -> Typicality | None:
    """What a bundle says of typical images; None where it says nothing.

    Raises:
        BundleError: the file is damaged or does not fit the network.
    """
    manifest = bundle.manifest
    size = embedding_size(manifest)
    facts = manifest.calibration.get(FACTS)
    if size is None or facts is None or TYPICALITY_FILE not in manifest.files:
        return None
    try:
        with np.load(io.BytesIO(bundle.read(TYPICALITY_FILE)), allow_pickle=False) as file:
            arrays: dict[str, NDArray[np.float32]] = {
                name: np.asarray(file[name], np.float32) for name in ARRAYS
            }
        distances = np.asarray(facts["distances"], np.float64)
    except BundleError:
        raise
    except Exception as error:  # numpy's readers raise whatever a file makes them raise
        raise BundleError(f"{bundle.path}: {TYPICALITY_FILE} is damaged ({error}).") from error
    count = len(arrays["variances"]) if arrays["variances"].ndim == 1 else -1
    is_right = (
        0 <= count <= MOST_DIRECTIONS
        and arrays["mean"].shape == (size,)
        and arrays["directions"].shape == (count, size)
        and arrays["rest"].shape == ()
        and all(np.isfinite(each).all() for each in arrays.values())
        and np.isfinite(distances).all()
        and (arrays["variances"] > 0).all()
        and float(arrays["rest"]) > 0
        and distances.ndim == 1
        and 1 <= len(distances) <= MOST_DISTANCES
        and (np.diff(distances) >= 0).all()
    )
    if not is_right:
        raise BundleError(f"{bundle.path}: {TYPICALITY_FILE} does not fit the network.")
    rest = float(arrays["rest"])
    if not math.isfinite(1 / rest):
        raise BundleError(f"{bundle.path}: {TYPICALITY_FILE} does not fit the network.")
    return Typicality(arrays["mean"], arrays["directions"], arrays["variances"], rest, distances)
