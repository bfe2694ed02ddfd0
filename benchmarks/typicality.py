"""Compare ways to tell that a photo is unlike the training photos, on a trained bundle.

    python benchmarks/typicality.py BUNDLE PHOTOS --others FOLDER [FOLDER ...]

PHOTOS has the train, validation and test folders that the bundle was trained on, or is its run's
split.csv. Prints the AUROC of test photos against the photos in each other folder: by the energy of
the logits (Liu et al. 2020), by the highest logit, by the Mahalanobis distance to the nearest class
(Lee et al. 2018) of raw embeddings and of embeddings of length 1, by the residual outside 64
directions and the energy (ViM, Wang et al. 2022), by the cosine to the 10th nearest training photo
(Sun et al. 2022), by a distribution without classes, and by what bundles store. The last line is
the share of test photos with a typicality of at most 0.05. The bundle is not changed.
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
from pplcnet.exporting.typicality import TRAINING_LIMIT, fit_typicality
from pplcnet.metrics.open_set import area_under_roc
from pplcnet.runtime.embedding import unit_length
from pplcnet.runtime.model import Model, load
from pplcnet.runtime.typicality import DISTANCE, NEIGHBOUR, Typicality
from pplcnet.tasks import find
from pplcnet.tasks.scores import log_sum_exp

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
    energy = find(model.manifest.task).energy
    some = parts["train"]["embedding"]
    some = some[spread(len(some), TRAINING_LIMIT)]
    fitted = fit_typicality(some, parts["validation"], energy)
    if fitted is None:
        raise SystemExit("the embeddings are all the same")
    scores = ways(parts["train"], labels, fitted)
    print(f"{'':<40}{''.join(f'{each.name:>16}' for each in arguments.others)}")
    known = {name: score(parts["test"]) for name, score in scores.items()}
    strange = [answers(model, photos_in(each, arguments.most)) for each in arguments.others]
    for name, score in scores.items():
        figures = [area_under_roc(known[name], score(each)) for each in strange]
        print(f"{name:<40}{''.join(f'{each:>16.3f}' for each in figures)}")
    rows = range(len(parts["test"]["logits"]))
    typical = [
        fitted.of({key: each[at] for key, each in parts["test"].items()}, energy) for at in rows
    ]
    print(f"{np.mean(np.array(typical) <= 0.05):.3f} of the test photos at 0.05 or less")


def spread(count: int, most: int) -> list[int]:
    """At most `most` evenly spaced indices."""
    return [at * count // min(count, most) for at in range(min(count, most))]


def photos_in(folder: Path, most: int) -> list[Path]:
    """At most `most` photos of a folder."""
    paths = list(find_images(folder))
    return [paths[at] for at in spread(len(paths), most)]


def answers(model: Model[Any], paths: list[Path]) -> Mapping[str, Array]:
    """The logits and raw embeddings of photos."""
    return {
        "logits": np.stack([each.logits for each in model.predict_many(paths)]),
        "embedding": np.stack([each.vector for each in model.embed_many(paths, normalize=False)]),
    }


def ways(
    train: Mapping[str, Array], labels: Array, fitted: Typicality
) -> dict[str, Callable[[Mapping[str, Array]], Array]]:
    """Name to a score that is higher for more typical photos."""
    raw = nearest_class(train["embedding"], labels)
    unit = nearest_class(unit_length(train["embedding"]), labels)
    return {
        "energy of the logits": lambda each: log_sum_exp(each["logits"]),
        "highest logit": lambda each: each["logits"].max(axis=1),
        "Mahalanobis, nearest class": lambda each: raw(each["embedding"]),
        "Mahalanobis, nearest class, length 1": lambda each: unit(unit_length(each["embedding"])),
        "residual and energy": residual_and_energy(train),
        "10th nearest training photo, length 1": lambda each: fitted.measures(each, None)[
            NEIGHBOUR
        ],
        "one distribution, length 1": lambda each: fitted.measures(each, None)[DISTANCE],
        "all three (what bundles have)": lambda each: (
            -fitted.strangeness(each, lambda outputs: log_sum_exp(outputs["logits"]))
        ),
    }


def residual_and_energy(train: Mapping[str, Array]) -> Callable[[Mapping[str, Array]], Array]:
    """ViM: the energy minus the length of the part outside the main directions, scaled to match."""
    mean = train["embedding"].mean(axis=0)
    directions = np.linalg.svd(train["embedding"] - mean, full_matrices=False)[2][:64]

    def residual(vectors: Array) -> Array:
        offsets = vectors - mean
        found: Array = np.linalg.norm(offsets - offsets @ directions.T @ directions, axis=1)
        return found

    scale = train["logits"].max(axis=1).mean() / residual(train["embedding"]).mean()
    return lambda each: log_sum_exp(each["logits"]) - scale * residual(each["embedding"])


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
