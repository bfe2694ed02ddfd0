"""The main job: from a folder of photos to a trained, exported and evaluated bundle.

`pplcnet train` and `pplcnet demo` run this. Each stage calls one part of the library.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.data.splits import Splits, write_splits
from pplcnet.errors import InputError
from pplcnet.recipe.adapting import adapted, describe_adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import for_task
from pplcnet.runs.files import EVALUATION, RECIPE, SKIPPED, SPLIT, TRAIN, planned_names
from pplcnet.runs.folder import RunFolder, require_keras, run_facts
from pplcnet.runs.nodes import alike_facts
from pplcnet.runs.replaced import refuse_to_delete
from pplcnet.runs.result import JobResult
from pplcnet.runs.splits import splits_as_before, splits_digest
from pplcnet.runs.stages import (
    RunContext,
    audit_images,
    calibrate_network,
    export_network,
    train_network,
)
from pplcnet.runs.starts import settle_start, weights_of
from pplcnet.system.files import named_failures, write_text
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted
from pplcnet.tasks import find, options_of
from pplcnet.training import searching
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.names import SEARCH, TENSORBOARD
from pplcnet.training.nodes import Nodes
from pplcnet.training.pictures import drop_unneeded, picture_keeper, side_of
from pplcnet.training.reached import describe_reached, reached_with, read_reached
from pplcnet.training.search_database import facts_of, failures_said
from pplcnet.training.search_sharing import Search

__all__ = ["run_job"]


def run_job(
    photos: str | PathLike[str],
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    skip_broken: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    search: Search | None = None,
    nodes: Nodes | None = None,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> JobResult:
    """Audit, split, train, export with parity, and evaluate the exported network.

    Args:
        photos: a data set of any layout that `Dataset.open` reads.
        recipe: how to train. If its `weights` is auto, the starting weights are found before the
            audit.
        out: the run's folder; all its files go there.
        skip_broken: leave out the images with faults, and list them in `skipped.csv`.
        resume: continue the run in `out`; the data and the recipe must be the same. A finished
            run's networks are left unchanged, and it is evaluated again.
        overwrite: delete the run that is in `out`.
        search: search for better recipe fields before the training, on the validation images
            (`training.searching`); the training then uses the best.
        nodes: the machines that train together, of which this is node 0; the others `join_run`.
        watcher: told about the progress.
        before_training: called once the data has passed the audit, before Keras is imported.

    Raises:
        DatasetError: all faults of the data in one message.
        RecipeError: the recipe has fields of another task than the data's, or does not fit the
            start that was found.
        WeightsError: weights that the recipe requires are not available.
        InputError: `out` is in use, has nothing to resume, or holds another run; or a photo became
            unreadable during the training, whose state is saved.
        StorageError: the disk is full; the message says what is kept.
        NodeLost: another node ended; the last epoch is saved.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after saving.
    """
    watcher = watcher or Watcher()
    require_keras()
    if search is not None:
        searching.require_optuna()
    folder = RunFolder(Path(out), TRAIN)
    folder.check_place(photos, recipe)
    with folder.opened(), ImageCache.of(recipe) as image_cache:
        before = folder.check(resume=resume, overwrite=overwrite)
        has_checkpoint = before is not None and folder.has_checkpoint(before)
        is_skipping = skip_broken or bool(before and before.get("skip_broken"))
        dataset = Dataset.open(photos)
        recipe, start = settle_start(
            for_task(recipe, options_of(dataset.task)),
            before,
            watcher.say,
            is_needed=not has_checkpoint,
        )
        if before is None:
            needed = (
                photos,
                recipe.options.teacher,
                recipe.options.unlabelled,
                *weights_of(recipe),
            )
            refuse_to_delete(folder.path, [Path(each) for each in needed if each])
        images = audit_images(
            dataset,
            unlabelled=recipe.options.unlabelled,
            skip_broken=is_skipping,
            watcher=watcher,
            handover=Handover(side_of(recipe), picture_keeper(recipe, image_cache)),
        )
        facts = run_facts(photos, images.digest, recipe)
        if before is None:
            refuse_to_delete(folder.path, [each.path for each in images.labelled.dataset.images])
        else:
            before = folder.resume(before, facts)
        with folder.working(is_resumed=before is not None):
            if before is None:
                used = {
                    SKIPPED: images.have_faults,
                    SEARCH: search,
                    TENSORBOARD: recipe.tensorboard,
                }
                names = planned_names(TRAIN, extra=[name for name in used if used[name]])
                asked = {
                    "skip_broken": skip_broken,
                    **facts_of(search),
                    "start": start.facts(),
                }
                run = folder.start(recipe, {**facts, **asked}, names)
            else:
                run = before
            context = RunContext(
                folder, recipe, images, run, watcher, before_training, image_cache, nodes, search
            )
            context, splits = _split(context, is_resumed=before is not None, leave_out=skip_broken)
            bundle = folder.finished_bundle(context.run) if before is not None else None
            if bundle is not None:
                watcher.say(
                    f"Already finished. The networks in {bundle.path} are unchanged; evaluating "
                    "again."
                )
                image_cache.close()
                before_training()  # for the report's heat maps
            else:
                bundle = _train(context, splits, has_checkpoint=has_checkpoint)
            return _evaluate(context, splits, bundle)


def _split(context: RunContext, *, is_resumed: bool, leave_out: bool) -> tuple[RunContext, Splits]:
    """The context and the splits, written to split.csv, and read from there if the run is resumed.

    Args:
        leave_out: continue without images that are missing.
    """
    folder, images = context.folder, context.images
    if is_resumed and (folder.path / SPLIT).is_file():
        splits, run = splits_as_before(context, leave_out=leave_out)
    else:
        if is_resumed:
            folder.check_digest(context.run, images.digest)
        splits, run = images.draw_splits(context.recipe), context.run
        images.write_skipped(folder.path / SKIPPED)
    if "division" not in run and run.get("id") is not None:
        run = folder.change(run, {"division": splits_digest(splits)})
    write_splits(splits, folder.path / SPLIT, images.labelled.contents)
    noun = find(splits.train.task).noun
    context.watcher.say(
        f"{counted(len(splits.train.classes), noun)}; {counted(len(splits.train), 'image')} to "
        f"train on, {len(splits.validation)} for validation, {len(splits.test)} for the test"
    )
    return replace(context, run=run), splits


def _train(context: RunContext, splits: Splits, *, has_checkpoint: bool) -> Bundle:
    """Search if asked to, train, export and calibrate."""
    run, images = context.run, context.images
    images.raise_changed()
    if not has_checkpoint:  # a checkpoint holds what was chosen when the training began
        context = replace(context, recipe=_adapted(context, splits))
    context.before_training()
    with context.image_cache or ImageCache.of(context.recipe) as image_cache:
        context = replace(context, image_cache=image_cache)
        drop_unneeded(
            image_cache,
            [*(each.path for each in splits.train.images), *images.unlabelled_paths],
            [each.path for each in splits.validation.images],
        )
        recipe = _searched(context, splits, has_checkpoint=has_checkpoint)
        context = replace(context, recipe=recipe)
        trained = train_network(
            context,
            splits.train,
            splits.validation,
            out=context.folder.path,
            provenance={
                **({"left_out": run["left_out"]} if "left_out" in run else {}),
                "test_images": len(splits.test),
                "split_seed": splits.seed,
            },
        )
    bundle = export_network(context, trained.bundle, splits.validation)
    return calibrate_network(context, bundle, splits.validation, splits.train)


def _adapted(context: RunContext, splits: Splits) -> Recipe:
    """The recipe with its open fields set by the number of photos; reports and records them.

    `run.json` keeps the recipe as it was given, so that the same command resumes the run.
    """
    images = len(splits.train) + len(context.images.unlabelled_paths)
    recipe = adapted(context.recipe, images)
    for line in (*describe_adapted(recipe, images), *_expected(recipe, splits)):
        context.watcher.say(line)
    write_text(context.folder.path / RECIPE, recipe.to_toml())
    return recipe


def _expected(recipe: Recipe, splits: Splits) -> list[str]:
    """Lines on what such trainings reached in the project's benchmark, which measured top-1."""
    if find(splits.train.task).measure.key != "top1":
        return []
    counts = splits.train.class_counts()
    found = reached_with(recipe.model, recipe.weights, statistics.median(counts), read_reached())
    return [] if found is None else [describe_reached(found)]


def _searched(context: RunContext, splits: Splits, *, has_checkpoint: bool) -> Recipe:
    """The recipe to train with: the result of a new or finished search, else the given one.

    `run.json` keeps the recipe as it was given, so that the same command resumes the run.
    """
    out, recipe, run_id = context.folder.path, context.recipe, context.run.get("id")
    if context.search is None or has_checkpoint:
        found = searching.read_best(out, recipe, run_id)
        if context.search is not None and found is None:
            raise InputError(
                f"{out}: was started without a search; leave out --search, or start over."
            )
    else:
        wanted, images = context.search, context.images
        with failures_said(wanted.study):
            found = searching.search(
                splits.train,
                splits.validation,
                recipe,
                out,
                seconds=wanted.seconds,
                elsewhere=wanted.by,
                study_at=wanted.study,
                alike=alike_facts(images, recipe, len(splits.train), splits_digest(splits)),
                run_id=run_id,
                unlabelled=images.unlabelled_paths,
                image_cache=context.image_cache,
                report=context.watcher.say,
            )
    if found is not None:
        write_text(out / RECIPE, found.to_toml())
    return found or recipe


def _evaluate(context: RunContext, splits: Splits, bundle: Bundle) -> JobResult:
    """Evaluate the exported network on the test images, and write the evaluation and the report."""
    from pplcnet.reports.evaluation_files import Source, write_evaluation
    from pplcnet.reports.report import write_run_report
    from pplcnet.runtime.model import load
    from pplcnet.tasks.evaluate import evaluate_and_keep

    watcher, folder = context.watcher, context.folder.path / EVALUATION
    split = "test" if len(splits.test) else "validation"
    held_out: Dataset = getattr(splits, split)
    recorded = evaluate_and_keep(
        load(bundle.path),
        held_out,
        progress=lambda each: watcher.watch(each, len(held_out), f"evaluate on {split}"),
    )
    evaluation = recorded.evaluation
    with named_failures(folder):
        write_evaluation(evaluation, folder, Source(split, context.run["photos"]))
    if not bundle.manifest.tuning:  # otherwise the evaluated network may not be "onnx"
        onnx = bundle.variant("onnx")
        figures = {**onnx.get("figures", {}), split: evaluation.figures()}
        bundle = update_bundle(bundle, variants={"onnx": {**onnx, "figures": figures}})
    page = write_run_report(bundle, splits, split, recorded, context.images.labelled, watcher)
    return JobResult(bundle.path, folder, evaluation, split, bundle.manifest, page)
