"""train: labelled images in, a bundle with the weights of the best epoch out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import keras

from pplcnet.bundle.manifest import Manifest, today
from pplcnet.bundle.writing import write_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import AUTO, for_task, recipe_by_start, settled
from pplcnet.system.progress import Busy, no_sign
from pplcnet.tasks import find, options_of
from pplcnet.training.group import Group
from pplcnet.training.history import score_column
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.loop import fit
from pplcnet.training.names import BUNDLE, CHECKPOINT
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.saved_facts import read_facts
from pplcnet.weights.bundled import KERAS_FILE, pack_weights
from pplcnet.weights.fetching import local_path
from pplcnet.weights.starts import Start, find_start

__all__ = ["TrainingResult", "train"]


class TrainingResult(NamedTuple):
    """The result of `train`."""

    bundle: Path
    """With the Keras variant; `pplcnet.export` adds the deployed one."""
    best_epoch: int
    """Counted from 1; its weights are in the bundle."""
    validation_score: float
    """The task's measure on the validation images (top-1, mAP)."""
    history: list[dict[str, Any]]
    """One row per epoch, as in `history.csv`."""


def train(
    model: str | Recipe,
    train_set: Dataset,
    validation_set: Dataset,
    *,
    out: str | PathLike[str],
    resume: bool = False,
    provenance: Mapping[str, Any] | None = None,
    unlabelled: Sequence[Path] = (),
    image_cache: ImageCache | None = None,
    run_id: str | None = None,
    start: Start | None = None,
    report: Callable[[str], None] = lambda line: None,
    busy: Busy = no_sign,
    before_saving: Callable[[], object] = lambda: None,
    group: Group | None = None,
    **settings: Any,
) -> TrainingResult:
    """Train a network and write `OUT/model.bundle`.

    Args:
        model: a network's name, which uses the recipe that belongs to the starting weights (the
            setting `weights`; "auto" by default); or a whole recipe.
        train_set: images to learn from.
        validation_set: images that choose the best epoch; same classes in the same order.
        out: folder for the bundle, the checkpoint and the history.
        resume: continue from the checkpoint in `out`; with the same data and recipe, the weights
            equal those of an uninterrupted run.
        provenance: facts about the data that the manifest should hold.
        unlabelled: images without labels, for which a teacher gives targets; by default those of
            the recipe's folder.
        image_cache: decoded images, shared with other trainings on the same files.
        run_id: id of the run that this belongs to; it ties checkpoint and bundle to its run.json.
        start: what the recipe's weights are, if the caller has replaced auto already.
        report: called with one line of text after every epoch.
        busy: called with a description of long work; returns a context manager.
        before_saving: called before the state after an epoch is saved; if it raises, training ends
            with the previous state.
        group: nodes that train together (`node_group.joined`), of which this is node 0.
        settings: recipe fields that replace the recipe's, such as `epochs=12`.

    Raises:
        RecipeError, UnknownNameError: a field that does not exist or belongs to another task, or
            a value that it cannot have.
        InputError: the two sets do not have the same classes.
        WeightsError: weights other than auto that cannot be fetched or read.
        ImageError: an image can no longer be read; the state was saved.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the running step was finished and the state
            saved.
    """
    kind = options_of(train_set.task)
    if isinstance(model, Recipe):
        recipe = for_task(model.changed(settings), kind)
    else:
        recipe = recipe_by_start({"model": model, **settings}, kind)
    if _kind(train_set) != _kind(validation_set) or not len(train_set) or not len(validation_set):
        raise InputError("training and validation need the same classes, and both need images.")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if start is None:
        start = _start_of(recipe, out / CHECKPOINT if resume else None, report)
        recipe = settled(recipe, start.weights)
    fitted = fit(
        train_set,
        validation_set,
        recipe,
        out,
        resume=resume,
        unlabelled=unlabelled or _images_in(recipe.options.unlabelled),
        image_cache=image_cache,
        run_id=run_id,
        start=start,
        report=report,
        busy=busy,
        before_saving=before_saving,
        group=group,
    )
    recipe = fitted.recipe
    task = find(train_set.task)
    score = fitted.history[fitted.best_epoch - 1][score_column(task.measure.key)]
    manifest = Manifest(
        classes=train_set.classes,
        outputs=task.outputs(train_set.classes, recipe.image_size, recipe.model),
        task=train_set.task,
        preprocessing=preprocessing_of(recipe),
        network={"name": recipe.model, "options": fitted.options},
        variants={
            "keras": {
                "file": KERAS_FILE,
                "best_epoch": fitted.best_epoch,
                "figures": {"validation": {task.measure.key: score}},
            }
        },
        provenance={
            "created": today(),
            **({} if run_id is None else {"run": run_id}),
            "dataset": {
                "photos": str(train_set.root.resolve()),
                "train_images": len(train_set),
                "validation_images": len(validation_set),
                "train_images_per_class": list(train_set.class_counts()),
                **(provenance or {}),
            },
            "recipe": recipe.to_dict(),
            "weights": _weights_source(recipe, start),
            "versions": {
                "pplcnet": metadata.version("pplcnet"),
                "python": platform.python_version(),
                "keras": keras.__version__,
                "backend": keras.backend.backend(),
            },
        },
    )
    bundle = write_bundle(out / BUNDLE, manifest, {KERAS_FILE: pack_weights(fitted.model)})
    return TrainingResult(bundle.path, fitted.best_epoch, score, fitted.history)


def _images_in(folder: str | None) -> list[Path]:
    if folder is None:
        return []
    found = list(find_images(Path(folder)))
    if not found:
        raise InputError(f"{folder}: no photos there; unlabelled must be a folder of photos.")
    return found


def _kind(dataset: Dataset) -> tuple[str, tuple[str, ...]]:
    return dataset.task, dataset.classes


def _start_of(recipe: Recipe, state: Path | None, report: Callable[[str], None]) -> Start:
    """The start of a standalone training; if it resumes, that of the saved state."""
    if state is not None and state.is_file():
        weights = None if recipe.weights == AUTO else recipe.weights
        return Start.from_facts(read_facts(state).get("start"), weights)
    start = find_start(recipe.model, recipe.weights)
    report(f"start: {start.describe()}")
    return start


def _weights_source(recipe: Recipe, start: Start) -> dict[str, str | bool | None] | None:
    if start.asked is None:
        return None
    path = None if recipe.weights is None else local_path(recipe.model, recipe.weights)
    digest = sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""
    return {**start.facts(), "file": "" if path is None else str(path), "sha256": digest}
