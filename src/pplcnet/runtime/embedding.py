"""Embeddings: the network's features before its classifier, vectors for comparing images."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import BundleError, ImageError
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks import find
from pplcnet.tasks.task import EMBEDDING, Decoder, Outputs

__all__ = [
    "Embedding",
    "check_embedding",
    "decode_embedding",
    "embedding_size",
    "network_digest",
    "unit_length",
]

NO_VECTOR: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Embedding:
    """The embedding of one image, or the error that prevented it."""

    source: str
    """The image's path, or a description of what was given."""
    error: ImageError | None = None
    _vector: NDArray[np.float32] = field(default_factory=lambda: NO_VECTOR, repr=False)

    @property
    def vector(self) -> NDArray[np.float32]:
        """(D,) float32; raises `error` where it is set."""
        if self.error is not None:
            raise self.error
        return self._vector


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., D) divided by their Euclidean norm; zero vectors stay zero."""
    norms = np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))
    divided: NDArray[np.float32] = (
        vectors / np.maximum(norms, np.finfo(np.float32).tiny)[..., np.newaxis]
    ).astype(np.float32)
    return divided


def decode_embedding(normalize: bool) -> Decoder[Embedding]:  # type: ignore[type-var]
    """A decoder that makes an `Embedding` from the network's outputs for one image."""

    def decode(outputs: Outputs, geometry: Geometry, source: str) -> Embedding:
        vector = outputs[EMBEDDING]
        return Embedding(source, None, unit_length(vector) if normalize else vector)

    return decode


def embedding_size(manifest: Manifest) -> int | None:
    """The length D of an embedding; None if the network was exported without one."""
    shape = manifest.outputs.get(EMBEDDING)
    return None if shape is None else shape[0]


def check_embedding(manifest: Manifest, bundle: str) -> None:
    """BundleError unless the network was exported with its embedding."""
    task = find(manifest.task)
    if not task.embedding:
        raise BundleError(
            f"{bundle}: its task is {task.name}, which has no embedding of a whole image; use a "
            "classifier's bundle."
        )
    if embedding_size(manifest) is None:
        raise BundleError(
            f"{bundle}: its network was exported without the embedding; 'pplcnet export {bundle}' "
            "exports it again with the embedding."
        )


def network_digest(manifest: Manifest) -> str:
    """sha256 of everything embeddings depend on: the float32 network and how images are prepared.

    Embeddings from two bundles with equal digests can be compared if they were computed in the same
    precision. Calibrating, quantising or tuning a bundle does not change the digest; exporting
    a network after more training does.
    """
    file = str(manifest.variants["onnx"]["file"])
    made_of = {
        "network": manifest.files[file]["sha256"],
        "preprocessing": manifest.preprocessing.to_dict(),
    }
    return sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
