"""Photos whose label is probably wrong, by networks that have not seen them.

The photos are cut into folds. For each, a network is trained on the others (as the main job does
it) and says how probable it takes every class to be on the photos of the fold. Confident learning
(Northcutt et al. 2021, "Confident learning: estimating uncertainty in dataset labels", JAIR 70,
https://arxiv.org/abs/1911.00068, in cleanlab) then says which labels do not fit.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.audit import Audit
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import DatasetError, InputError, require
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import SKIPPED, fold_name, holds_something, planned_names
from pplcnet.runs.files import SUSPECTS as KIND
from pplcnet.runs.folder import (
    check_checkpoint,
    check_digest,
    check_folder,
    check_place,
    check_same,
    finished_bundle,
    new_id,
    opened,
    require_keras,
    run_facts,
    start_folder,
)
from pplcnet.runs.replaced import refuse_to_delete, set_aside
from pplcnet.runs.stages import audited, write_skipped
from pplcnet.runs.stopped import resumable
from pplcnet.runs.suspect_list import SUSPECTS, Suspect, SuspectList, check_strength, write_suspects
from pplcnet.system.files import write_arrays
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted
from pplcnet.tasks.baseline import best_guess
from pplcnet.training.image_cache import ImageCache
from pplcnet.weights.fetching import weights_path

__all__ = ["Suspect", "SuspectList", "find_suspects", "rank_suspects"]

PROBABILITIES = "probabilities.npz"
"""labels (N,) and probabilities (N, classes), in the data set's order: what the list is made of."""


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
    """Train a network for every fold, and list the photos whose label they doubt.

    All photos are looked at, also those of test and validation splits, where a wrong label does
    as much harm. Neither the weights nor the best epoch nor the temperature of a fold's network
    come from the fold's own photos: `recipe.validation` of the others chooses the last two. The
    folds' runs lie in OUT/fold-1 and so on; finished ones are taken as they are, a stopped one
    goes on. No photo and no label is changed.

    Args:
        photos: a data set of any layout that `Dataset.open` reads.
        recipe: what the networks are trained with; `test` is of no use here.
        out: folder for the runs and the list.
        folds: how many parts; every class needs as many photos.
        skip_broken: leave out the images with faults, and list them in `skipped.csv`.
        overwrite: delete what an earlier call left in `out`.
        watcher: told how it goes.
        before_training: called once before Keras is imported, if anything is left to train.

    Raises:
        DatasetError: all faults of the data in one message.
        InputError: folds that cannot be made, or `out` is of other photos, folds or recipe; or the
            networks are so weak that the list would mean nothing.
        MissingDependencyError: cleanlab or Keras is not installed.
        StorageError: the disk is full; the message says what is kept.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after saving; the same call goes on.
    """
    watcher = watcher or Watcher()
    _require_cleanlab()
    out = Path(out)
    if folds < 2:
        raise InputError(
            f"{counted(folds, 'fold')}; at least 2 are needed, so that each can be "
            "judged by a network trained on the others."
        )
    if recipe.distils:
        raise InputError(
            "suspects needs plain training; leave out teacher and distillation=mutual."
        )
    check_place(out, photos, recipe)
    with opened(out):
        before = check_folder(out, KIND, overwrite=overwrite)
        goes_on = before is not None and not overwrite and holds_something(out)
        if not goes_on:
            refuse_to_delete(out, [Path(photos), *_weights(recipe)])
        if Dataset.open(photos).task != "classification":
            raise InputError(
                f"{photos}: is multi-label; suspects are found only where every "
                "photo has one label."
            )
        is_skipping = skip_broken or (goes_on and before is not None and before.get("skip_broken"))
        checked = audited(photos, bool(is_skipping), watcher)
        dataset = checked.without_faults() if checked.faults else checked.dataset
        parts = _fold_of_each(dataset, folds, recipe.seed, checked.copies)
        run = run_facts(photos, checked, recipe)
        run["recipe"]["folds"] = folds
        if goes_on and before is not None:
            check_same(out, before, run)
            check_digest(out, before, run)
            run = {**before, "photos": run["photos"]}
        else:
            refuse_to_delete(out, [image.path for image in dataset.images])
            run = {"kind": KIND, "id": new_id(), **run, "skip_broken": skip_broken}
        with nullcontext() if goes_on else set_aside(out), resumable(out, KIND):
            if not goes_on:
                extra = [SKIPPED] if checked.faults else []
                start_folder(out, recipe, run, planned_names(KIND, folds=folds, extra=extra))
            return _found(
                dataset, checked, parts, recipe, out, folds, run, watcher, before_training
            )


def _found(
    dataset: Dataset,
    checked: Audit,
    parts: NDArray[np.int64],
    recipe: Recipe,
    out: Path,
    folds: int,
    run: dict[str, Any],
    watcher: Watcher,
    before_training: Callable[[], object],
) -> SuspectList:
    """Train what is not there yet, and list what the networks doubt."""
    write_skipped(checked, out / SKIPPED)
    for fold in range(folds):
        check_checkpoint(out / fold_name(fold), run)
    bundles = [finished_bundle(out / fold_name(fold), run, fold) for fold in range(folds)]
    if None in bundles:
        require_keras()
        _weights(recipe)
        before_training()
    probabilities = np.empty((len(dataset), len(dataset.classes)))
    with ImageCache.of(recipe) as image_cache:
        for fold, finished in enumerate(bundles):
            bundle = finished or _trained(
                dataset, parts != fold, recipe, out, fold, run, checked, image_cache, watcher
            )
            members = np.flatnonzero(parts == fold)
            held_out = [dataset.images[at] for at in members]
            probabilities[members] = _probabilities(bundle, held_out, f"fold {fold + 1}", watcher)
    labels = np.asarray([image.shown[0] for image in dataset.images])
    is_right = probabilities.argmax(axis=1) == labels
    accuracies = tuple(float(is_right[parts == fold].mean()) for fold in range(folds))
    guess = best_guess(dataset.classes, dataset.class_counts())
    arrays = {"labels": labels, "probabilities": probabilities}
    write_arrays(out / PROBABILITIES, arrays, compressed=True)
    check_strength(out, accuracies, guess)
    suspects = tuple(
        _suspect(dataset, int(at), probabilities[at]) for at in rank_suspects(labels, probabilities)
    )
    write_suspects(suspects, out / SUSPECTS)
    return SuspectList(suspects, len(dataset), out / SUSPECTS, accuracies, guess)


def rank_suspects(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Indices of the photos whose label is probably wrong, the least likely label first.

    Confident learning estimates how many labels are wrong, and so many are named: those with the
    least margin between the label and the most probable other class (cleanlab's
    "low_normalized_margin"). None is among them whose label is the most probable class.

    Args:
        labels: (N,) class indices, every class among them.
        probabilities: (N, classes) by networks that have not seen the photo; rows sum to 1.
    """
    _require_cleanlab()
    filtering = require("cleanlab.filter", purpose="finding suspects", extra="suspects")
    found = filtering.find_label_issues(
        labels,
        probabilities,
        filter_by="low_normalized_margin",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,  # seconds at most; and no copy of a process that has TensorFlow's threads
    )
    return np.asarray(found, np.intp)


def _require_cleanlab() -> None:
    """Say at once that it is not there, not after the training; its import takes seconds."""
    if importlib.util.find_spec("cleanlab") is None:
        require("cleanlab", purpose="finding suspects", extra="suspects")


def _weights(recipe: Recipe) -> list[Path]:
    """The file to start from, fetched if need be."""
    return [] if recipe.weights is None else [weights_path(recipe.model, recipe.weights)]


def _fold_of_each(
    dataset: Dataset, folds: int, seed: int, copies: Sequence[Sequence[Path]]
) -> NDArray[np.int64]:
    """(N,) fold of each photo, every class in the same proportion; wherever the folder lies.

    Copies of a picture share a fold: a network that has seen one has seen them all.
    """
    units = dataset.units(copies)
    labels = [dataset.images[unit[0]].shown[0] for unit in units]
    counts = Counter(labels)
    fewest, name = min((counts[at], name) for at, name in enumerate(dataset.classes))
    if fewest < folds:
        raise InputError(
            f"{counted(folds, 'fold')}, but class {name!r} has {counted(fewest, 'photo')}; take "
            f"{counted(fewest, 'fold')} or fewer "
            "(at least 2), or add photos."
        )
    selection = require("sklearn.model_selection", purpose="folds", extra="suspects")
    parts = np.empty(len(dataset), np.int64)
    dealing = selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(dealing.split(labels, labels)):
        for each in held_out:
            parts[units[each]] = fold
    return parts


def _trained(
    dataset: Dataset,
    is_used: NDArray[np.bool_],
    recipe: Recipe,
    out: Path,
    fold: int,
    run: dict[str, Any],
    checked: Audit,
    image_cache: ImageCache,
    watcher: Watcher,
) -> Bundle:
    """Train on the photos that are used, export, calibrate."""
    # Keras and the framework behind it take seconds to import: only when there is work for them.
    from pplcnet.exporting.calibrating import calibrate
    from pplcnet.exporting.export import export
    from pplcnet.training.train import train

    used = dataset.keep(image for image, each in zip(dataset.images, is_used, strict=True) if each)
    training, validation = used.split(recipe.validation, recipe.seed, together=checked.copies)
    if not len(validation):
        raise DatasetError(
            f"{dataset.root}: too few photos to hold some out for choosing the best epoch."
        )
    watcher.say(
        f"fold {fold + 1}: {counted(len(training), 'photo')} to train on, {len(validation)} for "
        "validation, "
        f"{len(dataset) - len(used)} to judge"
    )
    trained = train(
        recipe,
        training,
        validation,
        out=out / fold_name(fold),
        resume=True,
        provenance={
            "photos": run["photos"],
            "digest": run["digest"],
            "fold": fold + 1,
            "folds": run["recipe"]["folds"],
        },
        run_id=run.get("id"),
        image_cache=image_cache,
        report=watcher.say,
        busy=watcher.busy,
        before_saving=checked.raise_changed,
    )
    with watcher.busy(f"exporting and calibrating fold {fold + 1}"):
        bundle = export(trained.bundle, [image.path for image in validation.images])
        return calibrate(bundle, validation)


def _probabilities(
    bundle: Bundle, images: Sequence[LabelledImage], what: str, watcher: Watcher
) -> NDArray[np.float64]:
    """(N, classes) calibrated probabilities, by the deployed network."""
    from pplcnet.runtime.classifier import Classifier

    predictions = watcher.watch(
        Classifier(bundle.path).predict_many(image.path for image in images), len(images), what
    )
    return np.stack([each.probabilities for each in predictions])


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
