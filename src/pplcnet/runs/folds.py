"""The folds of `pplcnet suspects`: which photo is in which fold, and a network for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import DatasetError, InputError, require
from pplcnet.runs.stages import RunContext, calibrate_network, export_network, train_network
from pplcnet.system.wording import counted

__all__ = ["fold_of_each", "probabilities_of", "train_fold"]


def fold_of_each(
    dataset: Dataset, folds: int, seed: int, copies: Sequence[Sequence[Path]]
) -> NDArray[np.int64]:
    """(N,) fold of each image, from 0, with every class in the same proportion in each fold.

    Copies of an image share a fold: a network that has seen one has seen them all.

    Raises:
        InputError: a class has fewer different images than there are folds.
    """
    groups = dataset.groups(copies)
    labels = [dataset.images[group[0]].shown[0] for group in groups]
    counts = Counter(labels)
    fewest, name = min((counts[at], name) for at, name in enumerate(dataset.classes))
    if fewest < folds:
        raise InputError(
            f"{counted(folds, 'fold')}, but class {name!r} has {counted(fewest, 'photo')}; take "
            f"{counted(fewest, 'fold')} or fewer (at least 2), or add photos."
        )
    selection = require("sklearn.model_selection", purpose="folds", extra="suspects")
    fold_of = np.empty(len(dataset), np.int64)
    stratified = selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(stratified.split(labels, labels)):
        for each in held_out:
            fold_of[groups[each]] = fold
    return fold_of


def train_fold(
    context: RunContext, dataset: Dataset, fold: int, fold_of: NDArray[np.int64]
) -> Bundle:
    """Train on all images but the fold's, export and calibrate; returns the bundle."""
    used = dataset.keep(
        image for image, each in zip(dataset.images, fold_of, strict=True) if each != fold
    )
    recipe, folds = context.recipe, context.run["recipe"]["folds"]
    training, validation = used.split(
        recipe.validation, recipe.seed, groups=context.images.labelled.copies
    )
    if not len(validation):
        raise DatasetError(
            f"{dataset.place}: too few photos to hold some out for choosing the best epoch."
        )
    context.watcher.say(
        f"fold {fold + 1} of {folds}: {counted(len(training), 'photo')} to train on, "
        f"{len(validation)} for validation, {len(dataset) - len(used)} to judge"
    )
    trained = train_network(
        context,
        training,
        validation,
        out=context.folder.fold(fold),
        provenance={"fold": fold + 1, "folds": folds},
    )
    bundle = export_network(context, trained.bundle, validation)
    return calibrate_network(context, bundle, validation)


def probabilities_of(
    context: RunContext, bundle: Bundle, images: Sequence[LabelledImage], what: str
) -> NDArray[np.float64]:
    """(N, classes) calibrated probabilities from the exported network.

    Args:
        what: the label of the progress bar.
    """
    from pplcnet.runtime.classifier import Classifier

    predictions = Classifier(bundle.path).predict_many(image.path for image in images)
    return np.stack(
        [each.probabilities for each in context.watcher.watch(predictions, len(images), what)]
    )
