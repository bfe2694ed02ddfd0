"""Ways of saying that a photo is unlike anything trained on, compared on a trained bundle.

    python benchmarks/typicality.py BUNDLE PHOTOS --others FOLDER [FOLDER ...]

PHOTOS has the train, validation and test folders that the bundle was trained on. Printed is the
AUROC of test photos against the photos of each other folder: by the energy of the logits (Liu et
al. 2020), by the highest logit, by the Mahalanobis distance to the nearest class (Lee et al. 2018)
of raw embeddings and of embeddings of length 1, and by the distribution without classes that
bundles hold. The bundle is not changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import find_images
from pplcnet.exporting.typicality import fit_typicality
from pplcnet.metrics.open_set import area_under_roc
from pplcnet.runtime.embedding import unit_length
from pplcnet.runtime.model import Model, load

Array = NDArray[Any]
SHRINKAGE = 0.01


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--others", type=Path, nargs="+", required=True)
    parser.add_argument("--most", type=int, default=2000, help="photos of each folder")
    arguments = parser.parse_args()
    print(describe_machine("numpy", "onnxruntime"))
    model = load(arguments.bundle)
    dataset = Dataset.open(arguments.photos)
    parts = {}
    labels: Array = np.zeros(0)
    for split in ("train", "validation", "test"):
        images = dataset.subset(split).images
        chosen = [images[at] for at in spread(len(images), arguments.most)]
        parts[split] = answers(model, [each.path for each in chosen])
        if split == "train":
            labels = np.array([each.shown[0] for each in chosen])
    scores = ways(parts["train"], parts["validation"], labels)
    print(f"{'':<40}{''.join(f'{each.name:>16}' for each in arguments.others)}")
    known = {name: score(parts["test"]) for name, score in scores.items()}
    strange = [answers(model, photos_in(each, arguments.most)) for each in arguments.others]
    for name, score in scores.items():
        figures = [area_under_roc(known[name], score(each)) for each in strange]
        print(f"{name:<40}{''.join(f'{each:>16.3f}' for each in figures)}")


def spread(count: int, most: int) -> list[int]:
    """At most so many places, evenly."""
    return [at * count // min(count, most) for at in range(min(count, most))]


def photos_in(folder: Path, most: int) -> list[Path]:
    """At most so many photos of a folder."""
    paths = list(find_images(folder))
    return [paths[at] for at in spread(len(paths), most)]


def answers(model: Model[Any], paths: list[Path]) -> Mapping[str, Array]:
    """Logits and raw embeddings of the photos."""
    return {
        "logits": np.stack([each.logits for each in model.predict_many(paths)]),
        "embedding": np.stack([each.vector for each in model.embed_many(paths, normalize=False)]),
    }


def ways(
    train: Mapping[str, Array], validation: Mapping[str, Array], labels: Array
) -> dict[str, Callable[[Mapping[str, Array]], Array]]:
    """Name to a score that is higher for what is more typical."""
    fitted = fit_typicality(train["embedding"], validation["embedding"])
    if fitted is None:
        raise SystemExit("the embeddings are all the same")
    raw = nearest_class(train["embedding"], labels)
    unit = nearest_class(unit_length(train["embedding"]), labels)
    return {
        "energy of the logits": lambda each: energy(each["logits"]),
        "highest logit": lambda each: each["logits"].max(axis=1),
        "Mahalanobis, nearest class": lambda each: raw(each["embedding"]),
        "Mahalanobis, nearest class, length 1": lambda each: unit(unit_length(each["embedding"])),
        "one distribution, length 1 (bundles)": lambda each: (
            -fitted.distance(unit_length(each["embedding"]))
        ),
    }


def energy(logits: Array) -> Array:
    """The logarithm of the sum of the exponentials."""
    highest = logits.max(axis=1)
    found: Array = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return found


def nearest_class(vectors: Array, labels: Array) -> Callable[[Array], Array]:
    """The negative squared distance to the nearest class mean, with one covariance for all."""
    names = np.unique(labels)
    means = np.stack([vectors[labels == name].mean(axis=0) for name in names])
    offsets = vectors - means[np.searchsorted(names, labels)]
    covariance = offsets.T @ offsets / len(offsets)
    size = len(covariance)
    mixed = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / size * np.eye(size)
    inverse = np.linalg.inv(mixed)

    def score(others: Array) -> Array:
        distances = []
        for mean in means:
            offset = others - mean
            distances.append(np.einsum("nd,nd->n", offset @ inverse, offset))
        nearest: Array = -np.min(distances, axis=0)
        return nearest

    return score


if __name__ == "__main__":
    main()
