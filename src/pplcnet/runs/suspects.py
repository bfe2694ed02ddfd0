"""Finds photos whose label is probably wrong, with networks that were not trained on them.

The photos are split into folds. For each fold, a network is trained on the others (as in the main
job) and predicts the probability of every class for the fold's photos. Confident learning
(Northcutt et al. 2021, "Confident learning: estimating uncertainty in dataset labels", JAIR 70,
https://arxiv.org/abs/1911.00068, in cleanlab) then finds the labels that do not fit.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import ClassLabel
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.errors import InputError, require
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import PROBABILITIES, SKIPPED, SUSPECT_LIST, SUSPECTS, planned_names
from pplcnet.runs.folder import RunFolder, require_keras, run_facts
from pplcnet.runs.folds import fold_of_each, probabilities_of, train_fold
from pplcnet.runs.replaced import refuse_to_delete
from pplcnet.runs.stages import RunContext, audit_images
from pplcnet.runs.starts import settle_start, weights_of
from pplcnet.runs.suspect_list import Suspect, SuspectList, check_strength, write_suspects
from pplcnet.system.files import write_arrays
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted
from pplcnet.tasks import find, options_of
from pplcnet.tasks.baseline import best_guess
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.pictures import picture_keeper, side_of

__all__ = ["Suspect", "SuspectList", "find_suspects", "rank_suspects"]


def find_suspects(
    photos: str | PathLike[str],
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    folds: int = 5,
    skip_broken: bool = False,
    overwrite: bool = False,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> SuspectList:
    """Train a network per fold, and list the photos whose labels are probably wrong.

    All photos are judged, including those of test and validation splits, where a wrong label does
    as much harm. The weights, best epoch and temperature of a fold's network do not depend on the
    fold's own photos: the last two are chosen on `recipe.validation` of the others.
    The folds' runs are in OUT/fold-1 and so on; finished ones are reused, a stopped one continues.
    No photo or label is changed.

    Args:
        photos: a data set of any layout that `Dataset.open` reads, with one class per photo.
        recipe: how the networks are trained; its field `test` has no effect here.
        out: folder for the runs and the list.
        folds: number of folds; every class needs at least as many photos.
        skip_broken: leave out the images with faults, and list them in `skipped.csv`.
        overwrite: delete what an earlier call left in `out`.
        watcher: told about the progress.
        before_training: called once before Keras is imported, if anything is left to train.

    Raises:
        DatasetError: all faults of the data in one message.
        InputError: the folds cannot be made; `out` is for other photos, folds or another recipe; or
            the networks are so weak that the list would mean nothing.
        MissingDependencyError: cleanlab or Keras is not installed.
        StorageError: the disk is full; the message says what is kept.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after saving; the same call continues.
    """
    watcher = watcher or Watcher()
    _require_cleanlab()
    if folds < 2:
        raise InputError(
            f"{counted(folds, 'fold')}; at least 2 are needed, so that each can be "
            "judged by a network trained on the others."
        )
    if recipe.options.distils:
        raise InputError(
            "suspects needs plain training; leave out teacher and distillation=mutual."
        )
    folder = RunFolder(Path(out), SUSPECTS)
    folder.check_place(photos, recipe)
    with folder.opened(), ImageCache.of(recipe) as image_cache:
        before = folder.check(overwrite=overwrite)
        given = Dataset.open(photos)
        task = find(given.task)
        if task.annotation is not ClassLabel:
            raise InputError(
                f"{photos}: the photos have {task.title}; 'pplcnet suspects' needs exactly one "
                "class per photo."
            )
        recipe = recipe.for_options(options_of(task.name))
        recipe, start = settle_start(recipe, before, watcher.say, is_needed=False)
        if before is None:
            refuse_to_delete(folder.path, [Path(photos), *weights_of(recipe)])
        is_skipping = skip_broken or bool(before and before.get("skip_broken"))
        images = audit_images(
            given,
            skip_broken=is_skipping,
            watcher=watcher,
            handover=Handover(side_of(recipe), picture_keeper(recipe, image_cache)),
        )
        dataset = images.dataset
        fold_of = fold_of_each(dataset, folds, recipe.seed, images.labelled.copies)
        facts = run_facts(photos, images.digest, recipe)
        facts["recipe"]["folds"] = folds
        if before is None:
            refuse_to_delete(folder.path, [image.path for image in dataset.images])
        else:
            before = folder.resume(before, facts)
            folder.check_digest(before, facts["digest"])
        with folder.working(is_resumed=before is not None):
            if before is None:
                extra = [SKIPPED] if images.have_faults else []
                names = planned_names(SUSPECTS, folds=folds, extra=extra)
                asked = {"skip_broken": skip_broken, "start": start.facts()}
                run = folder.start(recipe, {**facts, **asked}, names)
            else:
                run = before
            context = RunContext(folder, recipe, images, run, watcher, before_training, image_cache)
            images.write_skipped(folder.path / SKIPPED)
            return _list_suspects(context, dataset, fold_of)


def _list_suspects(
    context: RunContext, dataset: Dataset, fold_of: NDArray[np.int64]
) -> SuspectList:
    """Train the missing networks, and list the photos whose labels are probably wrong."""
    probabilities = _judge(context, dataset, fold_of)
    out = context.folder.path
    labels = np.asarray([image.shown[0] for image in dataset.images])
    is_right = probabilities.argmax(axis=1) == labels
    accuracies = tuple(float(is_right[fold_of == fold].mean()) for fold in np.unique(fold_of))
    guess = best_guess(dataset.classes, dataset.class_counts())
    # In data set order: labels (N,) and probabilities (N, classes).
    arrays = {"labels": labels, "probabilities": probabilities}
    write_arrays(out / PROBABILITIES, arrays, compressed=True)
    check_strength(out, accuracies, guess)
    ranked = rank_suspects(labels, probabilities)
    suspects = tuple(_suspect(dataset, int(at), probabilities[at]) for at in ranked)
    write_suspects(suspects, out / SUSPECT_LIST)
    return SuspectList(suspects, len(dataset), out / SUSPECT_LIST, accuracies, guess)


def _judge(
    context: RunContext, dataset: Dataset, fold_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(N, classes) probabilities for every photo, from a network that was not trained on it."""
    folder, run = context.folder, context.run
    folds = range(run["recipe"]["folds"])
    for fold in folds:
        folder.has_checkpoint(run, fold)  # raises if it belongs to another run
    bundles = [folder.finished_bundle(run, fold) for fold in folds]
    if None in bundles:
        require_keras()
        weights_of(context.recipe)
        context.before_training()
    elif context.image_cache is not None:
        context.image_cache.close()
    probabilities = np.empty((len(dataset), len(dataset.classes)))
    for fold, finished in enumerate(bundles):
        bundle = finished or train_fold(context, dataset, fold, fold_of)
        members = np.flatnonzero(fold_of == fold)
        held_out = [dataset.images[at] for at in members]
        probabilities[members] = probabilities_of(context, bundle, held_out, f"fold {fold + 1}")
    return probabilities


def rank_suspects(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Indices of the photos whose label is probably wrong, the least likely label first.

    Confident learning estimates how many labels are wrong, and selects that many: those with the
    smallest margin between the label and the most probable other class (cleanlab's
    "low_normalized_margin"). A photo whose label is the most probable class is never selected.

    Args:
        labels: (N,) class indices, with every class present.
        probabilities: (N, classes) from networks not trained on the photo; rows sum to 1.
    """
    _require_cleanlab()
    filtering = require("cleanlab.filter", purpose="finding suspects", extra="suspects")
    found = filtering.find_label_issues(
        labels,
        probabilities,
        filter_by="low_normalized_margin",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,  # takes seconds at most; and do not fork a process with TensorFlow's threads
    )
    return np.asarray(found, np.intp)


def _require_cleanlab() -> None:
    """MissingDependencyError before the training, not after; does not import it, which is slow."""
    if importlib.util.find_spec("cleanlab") is None:
        require("cleanlab", purpose="finding suspects", extra="suspects")


def _suspect(dataset: Dataset, at: int, probabilities: NDArray[np.float64]) -> Suspect:
    image, suggested = dataset.images[at], int(probabilities.argmax())
    return Suspect(
        image.path,
        dataset.name_of(image),
        image.annotation.to_text(dataset.classes),
        dataset.classes[suggested],
        float(probabilities[image.shown[0]]),
        float(probabilities[suggested]),
    )
