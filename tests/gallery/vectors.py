"""Vectors of invented photos, a cloud for each class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pplcnet.gallery.manifest import Network
from pplcnet.gallery.parts import Row
from pplcnet.runtime.embedding import unit_length

SIZE = 16
NETWORK = Network("pplcnet_x1_0", "a" * 64, "float32", "")


def cloud(label: int, count: int, *, spread: float = 0.3, seed: int = 0) -> np.ndarray:
    """(count, SIZE) vectors of length 1 around the direction of a class."""
    middle = np.random.default_rng((label, 7)).normal(size=SIZE)
    noise = np.random.default_rng((label, seed, 8)).normal(size=(count, SIZE)) * spread
    return unit_length((middle + noise).astype(np.float32))


def rows(classes: int = 4, each: int = 10, *, seed: int = 0, spread: float = 0.3) -> Iterator[Row]:
    """Photos class_0/0.jpg, ..., whose digests say which they are."""
    for label in range(classes):
        for at, vector in enumerate(cloud(label, each, seed=seed, spread=spread)):
            digest = f"{label:08x}{seed:08x}{at:016x}"
            yield Row(f"class_{label}", f"class_{label}/{seed}_{at}.jpg", digest, vector)
