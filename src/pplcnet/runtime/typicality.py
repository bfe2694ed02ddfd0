"""How typical an image is of a network's training images, from its embedding and its logits.

Three measures are combined, because each of them alone fails on some network: a network may give
larger logits to photos of quite different things than to its own, and it may place them closer to
the mean of its training photos than most of those.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import BundleError
from pplcnet.imaging.geometry import Geometry
from pplcnet.runtime.embedding import embedding_size
from pplcnet.tasks import find
from pplcnet.tasks.task import EMBEDDING, Decoder, Outputs, P

__all__ = [
    "DISTANCE",
    "ENERGY",
    "FACTS",
    "NEIGHBOUR",
    "NEIGHBOURS",
    "TYPICALITY_FILE",
    "Scale",
    "Typicality",
    "parse_typicality",
    "read_typicality",
    "with_typicality",
]

TYPICALITY_FILE = "typicality.npz"
FACTS = "typicality"
"""The key in a manifest's `calibration`."""
ENERGY, DISTANCE, NEIGHBOUR = "energy", "distance", "neighbour"
"""The measures; lower is stranger: the energy of the logits, the negative Mahalanobis distance,
and the cosine to a nearby training image."""
NEIGHBOURS = 10
"""Rank of that training image by nearness; the last one if there are fewer."""
MOST_DIRECTIONS, MOST_DISTANCES, MOST_NEIGHBOURS = 256, 1000, 10_000
ARRAYS = ("mean", "directions", "variances", "rest")
Energy = Callable[[Outputs], NDArray[np.float64]]
Scale = tuple[float, float]
"""A measure's median over validation images, and the distance from it to the lowest 5 %."""
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Typicality:
    """Training images as embeddings of length 1, and the strangeness of validation images.

    The embeddings are modelled by a normal distribution with separate variances along some
    directions and one variance along all others (probabilistic PCA, Tipping and Bishop 1999), so
    the Mahalanobis distance is cheap. Single training images are stored by their coordinates along
    these directions, which nearly determine their cosines with other images.
    """

    mean: NDArray[np.float32]
    """(D,)"""
    directions: NDArray[np.float32]
    """(R, D), orthonormal."""
    variances: NDArray[np.float32]
    """(R,) variance along each direction."""
    rest: float
    """The variance along every other direction."""
    neighbours: NDArray[np.float16] | None = None
    """(N, R) training images along the directions, from the mean; None in older bundles."""
    scales: Mapping[str, Scale] = field(default_factory=dict)
    """For each measure; empty in older bundles, where only the distance counts."""
    distances: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    """(Q,) strangeness of the validation images, ascending."""

    _rows: NDArray[np.float32] = field(init=False, repr=False)
    """The mean, then the directions."""
    _origin: NDArray[np.float32] = field(init=False, repr=False)
    """The mean's coordinates along the directions."""
    _mean_square: float = field(init=False, repr=False)
    _near: NDArray[np.float32] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Precompute what every image is multiplied with."""
        near = None if self.neighbours is None else self.neighbours.astype(np.float32)
        rows = np.concatenate([self.mean[np.newaxis], self.directions])
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_origin", self.directions @ self.mean)
        object.__setattr__(self, "_mean_square", float(np.dot(self.mean, self.mean)))
        object.__setattr__(self, "_near", near)

    def measures(self, outputs: Outputs, energy: Energy | None) -> dict[str, NDArray[np.float64]]:
        """The measures of one or more images, by name, (...) each.

        Args:
            outputs: of one image, or of several along a first axis.
            energy: the task's energy; None if it has none.
        """
        vectors = outputs[EMBEDDING]
        norms = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))
        projected = (vectors @ self._rows.T) / np.maximum(norms, TINY)[..., np.newaxis]
        on_mean, along = projected[..., 0], projected[..., 1:]
        inside = np.square(along - self._origin)
        whole = (norms > 0) - 2 * on_mean + self._mean_square
        outside = np.maximum(whole - inside.sum(axis=-1), 0.0)
        found = {DISTANCE: -((inside / self.variances).sum(axis=-1) + outside / self.rest)}
        if self._near is not None:
            cosines = along @ self._near.T
            nearest = len(self._near) - min(NEIGHBOURS, len(self._near))
            found[NEIGHBOUR] = on_mean + np.partition(cosines, nearest, axis=-1)[..., nearest]
        if energy is not None:
            found[ENERGY] = energy(outputs)
        return found

    def strangeness(self, outputs: Outputs, energy: Energy | None) -> NDArray[np.float64]:
        """The strangeness of images, (...): the sum of their measures' distances below the median.

        Arguments as for `measures`.
        """
        found = self.measures(outputs, energy)
        if not self.scales:
            return -found[DISTANCE]
        falls = [
            np.maximum(middle - found[name], 0.0) / spread
            for name, (middle, spread) in self.scales.items()
        ]
        total: NDArray[np.float64] = np.sum(falls, axis=0)
        return total

    def of(self, outputs: Outputs, energy: Energy | None) -> float:
        """The fraction of images like the validation images that are no more typical than this one.

        Above 0 and at most 1: the fraction, of Q validation images and this one, that are at least
        as strange (the p-value of conformal prediction, Vovk et al. 2005).
        """
        count = len(self.distances)
        strangeness = float(self.strangeness(outputs, energy))
        nearer = int(np.searchsorted(self.distances, strangeness, "left"))
        return (1 + count - nearer) / (1 + count)

    def facts(self) -> dict[str, Any]:
        """The part that goes into the manifest's `calibration`."""
        scales = {name: list(each) for name, each in self.scales.items()}
        return {"distances": self.distances.tolist(), **({"scales": scales} if scales else {})}

    def content(self) -> bytes:
        """The rest, as the content of the bundle's file."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        if self.neighbours is not None:
            arrays["neighbours"] = self.neighbours
        np.savez(buffer, **arrays)
        return buffer.getvalue()


def with_typicality(
    decode: Decoder[P], typicality: Typicality, energy: Energy | None
) -> Decoder[P]:
    """A decoder whose predictions have a typicality; `energy` is the task's."""

    def decode_both(outputs: Outputs, geometry: Geometry, source: str) -> P:
        found = typicality.of(outputs, energy)
        return replace(decode(outputs, geometry, source), typicality=found)

    return decode_both


def read_typicality(bundle: Bundle) -> Typicality | None:
    """Read a bundle's record of typical images; None if it has none.

    Raises:
        BundleError: the file is damaged or does not fit the network.
    """
    manifest = bundle.manifest
    if embedding_size(manifest) is None or FACTS not in manifest.calibration:
        return None
    if TYPICALITY_FILE not in manifest.files:
        return None
    return parse_typicality(bundle.read(TYPICALITY_FILE), manifest, str(bundle.path))


def parse_typicality(content: bytes, manifest: Manifest, source: str) -> Typicality:
    """Parse a bundle's record of typical images, which is split between a file and its manifest.

    Args:
        content: the content of TYPICALITY_FILE.
        manifest: of a bundle with an embedding and the facts.
        source: the bundle's name in messages.

    Raises:
        BundleError: the file is damaged or does not fit the network.
    """
    facts = manifest.calibration[FACTS]
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], np.float32) for name in ARRAYS}
            neighbours = None
            if "neighbours" in file:
                neighbours = np.asarray(file["neighbours"], np.float16)
        distances = np.asarray(facts["distances"], np.float64)
        scales = {
            str(name): (float(middle), float(spread))
            for name, (middle, spread) in facts.get("scales", {}).items()
        }
        rest = float(arrays["rest"])
    except Exception as error:  # numpy's readers may raise any exception on a malformed file
        raise BundleError(f"{source}: {TYPICALITY_FILE} is damaged ({error}).") from error
    fits = (
        _are_right(arrays, embedding_size(manifest) or 0, neighbours)
        and rest > 0
        and np.isfinite(1 / rest)
        and np.isfinite(distances).all()
        and distances.ndim == 1
        and 1 <= len(distances) <= MOST_DISTANCES
        and (np.diff(distances) >= 0).all()
        and all(np.isfinite(each).all() and each[1] > 0 for each in scales.values())
        and set(scales) <= _measures(manifest, neighbours)
    )
    if not fits:
        raise BundleError(f"{source}: {TYPICALITY_FILE} does not fit the network.")
    return Typicality(
        arrays["mean"], arrays["directions"], arrays["variances"], rest,
        neighbours, scales, distances,
    )  # fmt: skip


def _are_right(
    arrays: Mapping[str, NDArray[np.float32]], size: int, neighbours: NDArray[np.float16] | None
) -> bool:
    count = len(arrays["variances"]) if arrays["variances"].ndim == 1 else -1
    if neighbours is not None and not (
        neighbours.ndim == 2
        and neighbours.shape[1] == count
        and 1 <= len(neighbours) <= MOST_NEIGHBOURS
        and np.isfinite(neighbours).all()
    ):
        return False
    return bool(
        0 <= count <= MOST_DIRECTIONS
        and arrays["mean"].shape == (size,)
        and arrays["directions"].shape == (count, size)
        and arrays["rest"].shape == ()
        and all(np.isfinite(each).all() for each in arrays.values())
        and (arrays["variances"] > 0).all()
    )


def _measures(manifest: Manifest, neighbours: NDArray[np.float16] | None) -> set[str]:
    """The measures that can be computed."""
    found = {DISTANCE}
    if neighbours is not None:
        found.add(NEIGHBOUR)
    if find(manifest.task).energy is not None:
        found.add(ENERGY)
    return found
