"""The main job: a folder of photos in; a trained, exported, evaluated bundle out.

`pplcnet train` and `pplcnet demo` are this. Each stage is one call of a part of the library.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pplcnet.auditing import Audit, Unlabelled, audit, audit_unlabelled
from pplcnet.bundle import Bundle, Manifest, update_bundle
from pplcnet.calibration import at_limit
from pplcnet.dataset import MULTI, Dataset
from pplcnet.division import Division, divide, write_division
from pplcnet.errors import DatasetError, InputError, require
from pplcnet.evaluation import Evaluation
from pplcnet.multilabel_evaluation import MultiLabelEvaluation
from pplcnet.progress import Watcher
from pplcnet.run_folder import (
    RECIPE,
    check_folder,
    check_place,
    check_same,
    finished_bundle,
    refuse_to_delete,
    run_facts,
    set_aside,
    start_folder,
    stops_resumable,
    write_skipped,
)
from pplcnet.training import searching
from pplcnet.training.picture_cache import PictureCache
from pplcnet.training.places import CHECKPOINT
from pplcnet.training.recipe import Recipe
from pplcnet.weights.fetching import weights_path
from pplcnet.wording import counted
from pplcnet.writable import check_writable

if TYPE_CHECKING:
    from pplcnet.training.learning_rates import RangeTest

__all__ = ["JobResult", "audited", "find_learning_rate", "require_keras", "run_job"]


class JobResult(NamedTuple):
    """Where things are and how good they are."""

    bundle: Path
    evaluation_folder: Path
    evaluation: Evaluation | MultiLabelEvaluation
    evaluated_on: str
    """"test", or "validation" where no test images were held out."""
    manifest: Manifest
    page: Path | None = None
    """`report.html`; None where it could not be made, which was said."""

    def summary(self) -> list[str]:
        """A line each: accuracy, latency, where the bundle and the report are."""
        evaluation, latency = self.evaluation, self.manifest.variants["onnx"]["latency"]
        chosen = " (which chose the epoch: a test split would be stricter)"
        caveat = chosen if self.evaluated_on == "validation" else ""
        if isinstance(evaluation, MultiLabelEvaluation):
            from pplcnet.reporting.figures import written

            whole = written(evaluation.mean_average_precision, 4)
            accuracy = f"{whole} mAP, {written(evaluation.macro_f1, 4)} macro F1"
        else:
            accuracy = f"{evaluation.top1:.4f} top-1"
            if len(evaluation.classes) > 5:
                accuracy += f", {evaluation.top5:.4f} top-5"
        return [
            f"accuracy    {accuracy} on "
            f"{counted(evaluation.images, f'{self.evaluated_on} image')}{caveat}",
            f"latency     {latency['median_ms']} ms a picture in the network "
            f"({latency['engine']}, {counted(latency['threads'], 'thread')})",
            f"bundle      {self.bundle}",
            f"report      {self.page or self.evaluation_folder / 'evaluation.md'}",
        ]


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
        skip_broken: leave out the images that the audit faults, and list them in `skipped.csv`.
        resume: go on with the run in `out`; the data and the recipe have to be the same. The
            bundle of a finished run keeps its networks, and is evaluated again.
        overwrite: throw away a run that is in `out`.
        search: seconds to look for better recipe fields before the training, on the validation
            images (`training.searching`); the training is by what was found.
        watcher: told how the job goes.
        before_training: called once the data are known good, before Keras is imported.

    Raises:
        DatasetError: all faults of the data in one message.
        InputError: `out` is in use, or there is nothing to resume, or the run was another.
        TrainingInterrupted: Ctrl-C, after saving.
    """
    watcher = watcher or Watcher()
    require_keras()
    if search is not None:
        searching.require_optuna()
    out = Path(out)
    check_folder(out, resume=resume, overwrite=overwrite)
    check_place(out, photos, recipe)
    goes_on = resume and (out / CHECKPOINT).is_file()
    weights = None
    if recipe.weights is not None and not goes_on:
        weights = weights_path(recipe.model, recipe.weights)
    if overwrite:
        named = (photos, recipe.teacher, recipe.unlabelled, weights)
        refuse_to_delete(out, [Path(each) for each in named if each])
    checked = audited(photos, skip_broken, watcher)
    unlabelled = _audited_unlabelled(recipe, checked, skip_broken, watcher)
    if overwrite:
        refuse_to_delete(out, [image.path for image in checked.dataset.images])
    run = run_facts(photos, checked, recipe, unlabelled)
    if resume:
        check_same(out, run)
    with set_aside(out) if overwrite else nullcontext(), stops_resumable(out):
        if not resume:
            start_folder(out, recipe, run)
        parts = _Photos(checked, unlabelled, run)
        return _run(parts, recipe, out, resume, goes_on, search, watcher, before_training)


class _Photos(NamedTuple):
    """What a run is of."""

    checked: Audit
    unlabelled: Unlabelled | None
    run: dict[str, Any]


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
    """Divide, train, export, calibrate and evaluate, in a folder that is prepared."""
    checked, unlabelled, run = photos
    dataset = checked.without_faults() if checked.faults else checked.dataset
    division = _divided(dataset, recipe, checked)
    write_skipped(checked, out / "skipped.csv", unlabelled)
    write_division(division, out / "split.csv")
    watcher.say(
        f"{counted(len(dataset.classes), 'class')}; {counted(len(division.train), 'image')} to "
        "train on, "
        f"{len(division.validation)} for validation, {len(division.test)} for the test"
    )

    finished = finished_bundle(out) if resume else None
    if finished is not None:
        watcher.say(f"already finished; {finished.path} keeps its networks and is evaluated again")
        before_training()  # for the report's heat maps
        return _evaluated(finished, division, checked, out / "evaluation", watcher)

    before_training()
    # Keras and the framework behind it take seconds to import: not before the data are known good.
    from pplcnet.deployment.calibrating import calibrate
    from pplcnet.deployment.exporting import export
    from pplcnet.deployment.judging import NAMES, describe_agreement
    from pplcnet.training.fitting import train

    extra = unlabelled.images if unlabelled else ()
    with PictureCache.of(recipe) as pictures:
        recipe = _searched(out, recipe, division, extra, search, goes_on, pictures, watcher)
        trained = train(
            recipe,
            division.train,
            division.validation,
            out=out,
            resume=resume,
            provenance={
                "photos": run["photos"],
                "digest": checked.digest,
                "test_images": len(division.test),
                "split_seed": division.seed,
            },
            unlabelled=extra,
            pictures=pictures,
            report=watcher.say,
        )
    watcher.say(
        f"best epoch {trained.best_epoch}, validation "
        f"{NAMES['map'] if dataset.task == MULTI else 'accuracy'} {trained.validation_top1:.3f}"
    )
    bundle = export(trained.bundle, [image.path for image in division.validation.images])
    parity = bundle.variant("onnx")["parity"]
    watcher.say(
        f"exported; on {counted(parity['images'], 'image')} the largest logit difference to Keras "
        "is "
        f"{parity['largest_logit_difference']:.1e} (logits up to {parity['largest_logit']:.2f}), "
        f"{describe_agreement(parity)}"
    )
    bundle = calibrate(bundle, division.validation)
    calibration = bundle.manifest.calibration
    temperature = calibration["temperature"]
    watcher.say(
        f"temperature {temperature:.2f}{at_limit(temperature)} fitted on the validation images: "
        f"calibration error {calibration['error_before']:.3f} before, "
        f"{calibration['error_after']:.3f} after"
    )
    if bundle.manifest.thresholds:
        watcher.say(
            f"{counted(len(bundle.classes), 'threshold')} chosen there, each with the best F1"
        )
    return _evaluated(bundle, division, checked, out / "evaluation", watcher)


def find_learning_rate(
    photos: str | PathLike[str],
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    skip_broken: bool = False,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> tuple[RangeTest, Path, Path]:
    """A learning-rate range test on the training images, its CSV file and its picture in `out`.

    Arguments and errors are those of `run_job`; a run that is in `out` is left alone.
    """
    watcher = watcher or Watcher()
    require_keras()
    out = Path(out)
    check_writable(out)
    check_place(out, photos, recipe)
    checked = audited(photos, skip_broken, watcher)
    dataset = checked.without_faults() if checked.faults else checked.dataset
    division = _divided(dataset, recipe, checked)
    before_training()
    from pplcnet.training.learning_rates import draw_range_test, run_range_test, write_range_test

    test = run_range_test(division.train, recipe, report=watcher.say)
    out.mkdir(parents=True, exist_ok=True)
    write_skipped(checked, out / "skipped.csv")
    table, picture = out / "learning_rates.csv", out / "learning_rates.png"
    write_range_test(test, table)
    draw_range_test(test, picture)
    return test, table, picture


def _divided(dataset: Dataset, recipe: Recipe, checked: Audit) -> Division:
    return divide(
        dataset,
        validation=recipe.validation,
        test=recipe.test,
        seed=recipe.seed,
        together=checked.copies,
    )


def _searched(
    out: Path,
    recipe: Recipe,
    division: Division,
    unlabelled: Sequence[Path],
    seconds: float | None,
    goes_on: bool,
    pictures: PictureCache,
    watcher: Watcher,
) -> Recipe:
    """The recipe to train by: what a search finds or has found, else the one that was given.

    `run.json` keeps the recipe as it was given, so that the same command resumes the run.
    """
    if seconds is None or goes_on:
        found = searching.read_best(out, recipe)
        if seconds is not None and found is None:
            raise InputError(
                f"{out}: was begun without a search; leave --search out, or begin anew."
            )
    else:
        found = searching.search(
            division.train,
            division.validation,
            recipe,
            out,
            seconds=seconds,
            unlabelled=unlabelled,
            pictures=pictures,
            report=watcher.say,
        )
    if found is not None:
        (out / RECIPE).write_text(found.to_toml(), encoding="utf-8")
    return found or recipe


def require_keras() -> None:
    """Say at once that training cannot work here, not after minutes of audit."""
    if importlib.util.find_spec("keras") is None:
        require("keras", purpose="training", extra="train")


def audited(photos: str | PathLike[str], skip_broken: bool, watcher: Watcher) -> Audit:
    """Open every photo; DatasetError for faults, unless the photos are to be left out."""
    checked = audit(
        Dataset.open(photos),
        fingerprints=importlib.util.find_spec("imagehash") is not None,
        progress=lambda looks, total: watcher.watch(looks, total, "audit"),
    )
    if not skip_broken:
        checked.raise_faults()
    for note in checked.notes:
        watcher.say(f"note: {note}")
    if checked.faults:
        left_out = len({image.path for fault in checked.faults for image in fault.left_out})
        watcher.say(
            f"left out {counted(left_out, 'file')} for {counted(len(checked.faults), 'fault')} "
            "(skipped.csv)"
        )
    return checked


def _audited_unlabelled(
    recipe: Recipe, checked: Audit, skip_broken: bool, watcher: Watcher
) -> Unlabelled | None:
    """The photos without classes that a recipe names; None where it names none."""
    if recipe.unlabelled is None:
        return None
    found = audit_unlabelled(
        Path(recipe.unlabelled),
        checked,
        progress=lambda looks, total: watcher.watch(looks, total, "audit without classes"),
    )
    if found.broken and not skip_broken:
        raise DatasetError(
            f"{recipe.unlabelled}: {len(found.broken)} of its photos cannot be read; mend them, or "
            "leave them out with --skip-broken:",
            [str(error) for error in found.broken],
        )
    if not found.images:
        raise DatasetError(
            f"{recipe.unlabelled}: nothing to learn from: {len(found.broken)} unreadable, "
            f"{counted(found.copies, 'copy', 'copies')} of labelled photos."
        )
    parts = f"{counted(len(found.images), 'photo')} without a class to learn from"
    if found.copies:
        parts += f"; {counted(found.copies, 'copy', 'copies')} of labelled ones left out"
    if found.broken:
        parts += f"; {len(found.broken)} unreadable ones left out (skipped.csv)"
    watcher.say(parts)
    return found


def _evaluated(
    bundle: Bundle, division: Division, checked: Audit, folder: Path, watcher: Watcher
) -> JobResult:
    from pplcnet.reporting.answers import evaluate_recorded
    from pplcnet.reporting.evaluation_files import write_evaluation
    from pplcnet.reporting.run_report import write_run_report
    from pplcnet.runtime.classifier import Classifier

    split = "test" if len(division.test) else "validation"
    held_out: Dataset = getattr(division, split)
    recorded = evaluate_recorded(
        Classifier(bundle.path),
        held_out,
        progress=lambda each: watcher.watch(each, len(held_out), f"evaluate on {split}"),
    )
    evaluation = recorded.evaluation
    write_evaluation(evaluation, folder)
    if not bundle.manifest.tuning:  # else what was evaluated may be another network than "onnx"
        figures = {
            f"{split}_{name}": figure
            for name, figure in evaluation.figures().items()
            if name in ("top1", "top5", "map", "macro_f1", "images")
        }
        bundle = update_bundle(bundle, variants={"onnx": {**bundle.variant("onnx"), **figures}})
    page = write_run_report(bundle, division, split, recorded, checked, watcher)
    return JobResult(bundle.path, folder, evaluation, split, bundle.manifest, page)
