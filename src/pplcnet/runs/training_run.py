"""The main job: a folder of photos in; a trained, exported, evaluated bundle out.

`pplcnet train` and `pplcnet demo` are this. Each stage is one call of a part of the library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.audit import Audit, Unlabelled
from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import Splits, write_splits
from pplcnet.errors import InputError
from pplcnet.metrics.calibration import describe_calibration
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import EVALUATION, RECIPE, SKIPPED, SPLIT, TRAIN, planned_names
from pplcnet.runs.folder import (
    change_run,
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
from pplcnet.runs.result import JobResult
from pplcnet.runs.splits import splits_as_before, splits_digest
from pplcnet.runs.stages import audited, audited_unlabelled, splits_of, write_skipped
from pplcnet.runs.stopped import resumable
from pplcnet.system.files import named_failures, write_text
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.training import searching
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.names import CHECKPOINT, SEARCH, TENSORBOARD
from pplcnet.weights.fetching import weights_path

__all__ = ["run_job"]


def run_job(
    photos: str | PathLike[str],
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    skip_broken: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    search: float | None = None,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> JobResult:
    """Audit, divide, train, export with parity, evaluate the deployed path.

    Args:
        photos: a data set of any layout that `Dataset.open` reads.
        out: folder for the run; everything that is written lies in it.
        skip_broken: leave out the images with faults, and list them in `skipped.csv`.
        resume: continue the run in `out`; the data and the recipe have to be the same. The
            networks of a finished run are left unchanged, and it is evaluated again.
        overwrite: throw away a run that is in `out`.
        search: seconds to look for better recipe fields before the training, on the validation
            images (`training.searching`); the training is by what was found.
        watcher: told how the job goes.
        before_training: called once the data are known good, before Keras is imported.

    Raises:
        DatasetError: all faults of the data in one message.
        InputError: `out` is in use, or there is nothing to resume, or the run was another; a photo
            became unreadable while it was trained on, after saving.
        StorageError: the disk is full; the message says what is kept.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after saving.
    """
    watcher = watcher or Watcher()
    require_keras()
    if search is not None:
        searching.require_optuna()
    out = Path(out)
    check_place(out, photos, recipe)
    with opened(out):
        before = check_folder(out, TRAIN, resume=resume, overwrite=overwrite)
        if resume and before is not None:
            check_checkpoint(out, before)
        goes_on = resume and (out / CHECKPOINT).is_file()
        weights = None
        if recipe.weights is not None and not goes_on:
            weights = weights_path(recipe.model, recipe.weights)
        if not resume:
            named = (photos, recipe.teacher, recipe.unlabelled, weights)
            refuse_to_delete(out, [Path(each) for each in named if each])
        is_skipping = skip_broken or bool(resume and before and before.get("skip_broken"))
        checked = audited(photos, is_skipping, watcher)
        unlabelled = audited_unlabelled(recipe, checked, is_skipping, watcher)
        if not resume:
            refuse_to_delete(out, [image.path for image in checked.dataset.images])
        run = run_facts(photos, checked, recipe, unlabelled)
        if resume and before is not None:
            check_same(out, before, run)
            run = {**before, "photos": run["photos"]}
        else:
            asked = {"skip_broken": skip_broken, "search": search}
            run = {"kind": TRAIN, "id": new_id(), **run, **asked}
        with nullcontext() if resume else set_aside(out), resumable(out, TRAIN):
            if not resume:
                has_skipped = checked.faults or (unlabelled and unlabelled.broken)
                extra = {SKIPPED: has_skipped, SEARCH: search, TENSORBOARD: recipe.tensorboard}
                names = [name for name, is_written in extra.items() if is_written]
                start_folder(out, recipe, run, planned_names(TRAIN, extra=names))
            dataset = checked.without_faults() if checked.faults else checked.dataset
            if resume and (out / SPLIT).is_file():
                splits, run = splits_as_before(
                    dataset, checked, unlabelled, recipe, out, run, skip_broken, watcher
                )
            else:
                if resume and before is not None:
                    check_digest(out, before, run_facts(photos, checked, recipe, unlabelled))
                splits = splits_of(dataset, recipe, checked)
                write_skipped(checked, out / SKIPPED, unlabelled)
            parts = _Photos(checked, unlabelled, splits, run)
            return _run(parts, recipe, out, resume, goes_on, search, watcher, before_training)


class _Photos(NamedTuple):
    """What a run is of."""

    checked: Audit
    unlabelled: Unlabelled | None
    splits: Splits
    run: dict[str, Any]

    def raise_changed(self) -> None:
        """DatasetError when photos are not what they were when they were audited."""
        self.checked.raise_changed()
        if self.unlabelled is not None:
            self.unlabelled.raise_changed()


def _run(
    photos: _Photos,
    recipe: Recipe,
    out: Path,
    resume: bool,
    goes_on: bool,
    search: float | None,
    watcher: Watcher,
    before_training: Callable[[], object],
) -> JobResult:
    """Train, export, calibrate and evaluate, in a folder that is prepared."""
    checked, unlabelled, splits, run = photos
    dataset = splits.train
    if "division" not in run and run.get("id") is not None:
        run = change_run(out, run, {"division": splits_digest(splits)})
    write_splits(splits, out / SPLIT, checked.contents)
    watcher.say(
        f"{counted(len(dataset.classes), 'class')}; {counted(len(splits.train), 'image')} to "
        "train on, "
        f"{len(splits.validation)} for validation, {len(splits.test)} for the test"
    )

    finished = finished_bundle(out, run) if resume else None
    if finished is not None:
        watcher.say(
            f"Already finished. The networks in {finished.path} are unchanged; evaluating again."
        )
        before_training()  # for the report's heat maps
        return _evaluated(finished, photos, out / EVALUATION, watcher)

    photos.raise_changed()
    before_training()
    # Keras and the framework behind it take seconds to import: not before the data are known good.
    from pplcnet.exporting.calibrating import calibrate
    from pplcnet.exporting.export import export
    from pplcnet.training.train import train

    extra = unlabelled.images if unlabelled else ()
    with ImageCache.of(recipe) as image_cache:
        recipe = _searched(out, recipe, splits, extra, search, goes_on, run, image_cache, watcher)
        trained = train(
            recipe,
            splits.train,
            splits.validation,
            out=out,
            resume=resume,
            run_id=run.get("id"),
            provenance={
                "photos": run["photos"],
                "digest": checked.digest,
                **({"left_out": run["left_out"]} if "left_out" in run else {}),
                "test_images": len(splits.test),
                "split_seed": splits.seed,
            },
            unlabelled=extra,
            image_cache=image_cache,
            report=watcher.say,
            busy=watcher.busy,
            before_saving=photos.raise_changed,
        )
    photos.raise_changed()
    watcher.say(
        f"best epoch {trained.best_epoch}, validation {find(dataset.task).measure.title} "
        f"{trained.validation_score:.3f}"
    )
    with watcher.busy("exporting, and comparing with Keras"):
        bundle = export(trained.bundle, [image.path for image in splits.validation.images])
    parity = bundle.variant("onnx")["parity"]
    watcher.say(
        f"exported; on {counted(parity['images'], 'image')} the largest logit difference to Keras "
        "is "
        f"{parity['largest_logit_difference']:.1e} (logits up to {parity['largest_logit']:.2f}), "
        f"same answer on {parity['agreement']:.3f}"
    )
    with watcher.busy("calibrating"):
        bundle = calibrate(bundle, splits.validation)
    watcher.say(describe_calibration(bundle.manifest.calibration))
    photos.raise_changed()
    if bundle.manifest.thresholds:
        watcher.say(
            f"{counted(len(bundle.classes), 'threshold')} chosen there, each with the best F1"
        )
    return _evaluated(bundle, photos, out / EVALUATION, watcher)


def _searched(
    out: Path,
    recipe: Recipe,
    splits: Splits,
    unlabelled: Sequence[Path],
    seconds: float | None,
    goes_on: bool,
    run: dict[str, Any],
    image_cache: ImageCache,
    watcher: Watcher,
) -> Recipe:
    """The recipe to train by: what a search finds or has found, else the one that was given.

    `run.json` keeps the recipe as it was given, so that the same command resumes the run.
    """
    if seconds is None or goes_on:
        found = searching.read_best(out, recipe, run.get("id"))
        if seconds is not None and found is None:
            raise InputError(
                f"{out}: was started without a search; leave --search out, or start over."
            )
    else:
        found = searching.search(
            splits.train,
            splits.validation,
            recipe,
            out,
            seconds=seconds,
            run_id=run.get("id"),
            unlabelled=unlabelled,
            image_cache=image_cache,
            report=watcher.say,
        )
    if found is not None:
        write_text(out / RECIPE, found.to_toml())
    return found or recipe


def _evaluated(bundle: Bundle, photos: _Photos, folder: Path, watcher: Watcher) -> JobResult:
    from pplcnet.pages.scored import evaluate_and_keep
    from pplcnet.reports.evaluation_files import Source, write_evaluation
    from pplcnet.reports.run_report import write_run_report
    from pplcnet.runtime.classifier import Classifier

    checked, _, splits, run = photos
    split = "test" if len(splits.test) else "validation"
    held_out: Dataset = getattr(splits, split)
    recorded = evaluate_and_keep(
        Classifier(bundle.path),
        held_out,
        progress=lambda each: watcher.watch(each, len(held_out), f"evaluate on {split}"),
    )
    evaluation = recorded.evaluation
    with named_failures(folder):
        write_evaluation(evaluation, folder, Source(split, run["photos"]))
    if not bundle.manifest.tuning:  # else what was evaluated may be another network than "onnx"
        figures = {
            f"{split}_{name}": figure
            for name, figure in evaluation.figures().items()
            if name in ("top1", "top5", "map", "macro_f1", "images")
        }
        bundle = update_bundle(bundle, variants={"onnx": {**bundle.variant("onnx"), **figures}})
    page = write_run_report(bundle, splits, split, recorded, checked, watcher)
    return JobResult(bundle.path, folder, evaluation, split, bundle.manifest, page)
