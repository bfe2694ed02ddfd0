"""search: tunes recipe fields on validation images, within a time budget, before the training.

Optuna proposes the values (TPE: Bergstra et al., Algorithms for Hyper-Parameter Optimization,
2011). Its journal keeps every trial, so a search can resume however it ended.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.errors import InputError, TrainingInterrupted
from pplcnet.recipe.files import read_toml
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.search_space import ranges_of, searched_fields, stored_fields
from pplcnet.system.files import write_text
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.training.names import SEARCH, SEARCH_BEST, SEARCH_TRIALS
from pplcnet.training.search_database import open_shared_study
from pplcnet.training.search_elsewhere import watch_trials
from pplcnet.training.search_journal import (
    enqueue,
    finished_trials,
    has_budget,
    next_trial,
    open_study,
    require_optuna,
    score_of,
)
from pplcnet.training.search_lines import (
    line_of_trial,
    parse_budget,
    settings_of,
    short_recipe,
)
from pplcnet.training.search_sharing import (
    SILENT_AFTER,
    SearchedBy,
    live_trials,
    others_took_part,
    redo_silent,
    signs_of_life,
)
from pplcnet.training.search_trial import do_trial

if TYPE_CHECKING:
    from pplcnet.data.dataset import Dataset
    from pplcnet.tasks.task import Measure
    from pplcnet.training.image_cache import ImageCache

__all__ = ["parse_budget", "read_best", "require_optuna", "search", "short_recipe"]

POLL_SECONDS = 2.0


def search(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    seconds: float,
    most_trials: int | None = None,
    run_id: str | None = None,
    unlabelled: Sequence[Path] = (),
    image_cache: ImageCache | None = None,
    is_helping: bool = False,
    elsewhere: SearchedBy | None = None,
    study_at: str | None = None,
    alike: Mapping[str, str] | None = None,
    silent_after: float = SILENT_AFTER,
    report: Callable[[str], None] = lambda line: None,
) -> Recipe:
    """Try values of `searched_fields`, the recipe's own first, and return the recipe with the best.

    A trial trains `short_recipe` in `OUT/search/trial-N`, which is removed afterwards. Trials are
    compared by the task's measure of the best epoch on `validation_set`, then by the loss. A trial
    below the median of earlier ones at the same epoch is stopped. The best fields are written to
    `OUT/search/best.toml`. Called again, the search continues: finished trials count, and the one
    that was running starts over. Several processes may search at the same time; all of them return
    once the last trial is over.

    Args:
        recipe: with nothing left open (`recipe.adapting`), so that trials have the learning rates
            of the full training, not those of one with fewer epochs.
        out: the run's folder; it exists.
        seconds: time for all finished trials together. A trial begins if one of average length
            still fits; the first always does.
        most_trials: finished trials after which the search ends in any case.
        run_id: id of the run that the search belongs to.
        unlabelled: images without labels, if the recipe has a teacher.
        image_cache: decoded images, which the trials share.
        is_helping: another process started this search and writes the result; the recipe is
            returned unchanged.
        elsewhere: other processes that run the trials; this one runs none.
        study_at: the address of a database with the trials, in place of the journal in `out`.
        alike: with `study_at`, what has to be the same in all processes, by name.
        silent_after: seconds after which a trial without a heartbeat is run again.
        report: called with one line of text after every trial.

    Raises:
        MissingDependencyError: Optuna is not installed.
        InputError: the journal of an earlier search is damaged, or belongs to another run.
        TrainingInterrupted: Ctrl-C; the finished trials are kept.
    """
    measure = find(train_set.task).measure
    (out / SEARCH).mkdir(exist_ok=True)
    study = (
        open_study(out / SEARCH_TRIALS, run_id)
        if study_at is None
        else open_shared_study(study_at, run_id, alike or {}, is_helping=is_helping)
    )
    redo_silent(study, silent_after)
    if not is_helping:
        enqueue(study, _numbers_of(recipe))
    budget: dict[str, Any] = {
        "seconds": seconds,
        "most_trials": most_trials,
        "silent_after": silent_after,
    }
    try:
        if elsewhere is not None:
            with elsewhere as ended_processes:
                watch_trials(study, recipe, measure, ended_processes, report, **budget)
        else:
            for trial in _next_trials(study, recipe.seed, **budget):
                tried = _proposed(trial, recipe)
                folder = out / SEARCH / f"trial-{trial.number + 1}"
                with signs_of_life(trial, silent_after), _interrupts_said(study, out, is_helping):
                    data = train_set, validation_set, unlabelled
                    do_trial(study, trial, tried, folder, data, image_cache)
                report(_line_of(study, trial, recipe, measure))
    except TrainingInterrupted:
        redo_silent(study, silent_after)  # the trial of this process
        raise
    except Exception:
        redo_silent(study, silent_after)  # the trial of this process
        if not (finished_trials(study) or live_trials(study) or is_helping):  # nothing to lose
            shutil.rmtree(out / SEARCH)
        raise
    if is_helping:
        return recipe
    if others_took_part(study):
        report(
            "several processes searched: what they tried depends on which finished first, so this "
            "search is not reproducible; the training that follows is"
        )
    return _chosen(study, recipe, out, measure, run_id, report)


def _next_trials(
    study: Any, seed: int, *, seconds: float, most_trials: int | None, silent_after: float
) -> Iterator[Any]:
    """Yield trials to run, until the last one of all processes is over."""
    while (begins := has_budget(study, seconds, most_trials)) or live_trials(study):
        trial = next_trial(study, seed, most_trials) if begins else None
        if trial is not None:
            yield trial
        else:  # another process runs the last trials, and may die
            time.sleep(min(POLL_SECONDS, silent_after / 5))
        redo_silent(study, silent_after)


def _line_of(study: Any, trial: Any, recipe: Recipe, measure: Measure) -> str:
    ended = {each.number: each for each in finished_trials(study)}
    if trial.number not in ended:
        return "another process assumed that this one had died, and does its trial"
    return line_of_trial(len(ended), ended[trial.number], recipe, measure)


def _numbers_of(recipe: Recipe) -> dict[str, float]:
    """The recipe's own values, in the form of a trial's."""
    fields = searched_fields(recipe)
    return {name: fields[name].value(recipe) for name in ranges_of(recipe)}


def _proposed(trial: Any, recipe: Recipe) -> Recipe:
    """The recipe with the values that a trial tries."""
    fields = searched_fields(recipe)
    numbers = {
        name: trial.suggest_float(name, *limits, log=fields[name].logarithmic)
        for name, limits in ranges_of(recipe).items()
    }
    return recipe.changed(stored_fields(numbers, recipe))


@contextlib.contextmanager
def _interrupts_said(study: Any, out: Path, is_helping: bool) -> Iterator[None]:
    """Within, a signal ends with a message about what happens to the trial."""
    finished = len(finished_trials(study))
    try:
        yield
    except TrainingInterrupted as stopped:
        text = f"Stopped in trial {finished + 1} of the search, which will be run again; "
        if is_helping:
            text += "another process continues the search."
        else:
            text += f"{counted(finished, 'finished trial')} kept."
        run = "" if is_helping else str(out)
        raise TrainingInterrupted(text, run=run, signal=stopped.signal) from stopped


def read_best(out: Path, recipe: Recipe, run_id: str | None = None) -> Recipe | None:
    """The recipe with the result of a finished search in `out`; None if there was no search.

    Raises:
        InputError: the search is not finished, or belongs to another run.
        RecipeError: `best.toml` cannot be read.
    """
    path = out / SEARCH_BEST
    if not path.is_file():
        if (out / SEARCH_TRIALS).is_file():
            raise InputError(
                f"{out / SEARCH}: the search is not finished; continue with --search and its time "
                "(1s uses the best of the trials so far)."
            )
        return None
    values = read_toml(path)
    if values.pop("run", None) != run_id:
        raise InputError(f"{path}: belongs to another run; restore the right one.")
    return recipe.changed(values)


# ---------------------------------------------------------------------- the best trial


def _chosen(
    study: Any,
    recipe: Recipe,
    out: Path,
    measure: Measure,
    run_id: str | None,
    report: Callable[[str], None],
) -> Recipe:
    from optuna.trial import TrialState

    for left in (out / SEARCH).glob("trial-*"):  # by processes that were killed
        shutil.rmtree(left, ignore_errors=True)
    finished = finished_trials(study)
    complete = [each for each in finished if each.state is TrialState.COMPLETE]
    if not complete:
        report(
            f"none of {counted(len(finished), 'trial')} reached its last epoch: the recipe is "
            "unchanged"
        )
        write_text(out / SEARCH_BEST, "# No trial reached its last epoch.\n" + _run_line(run_id))
        return recipe
    best = max(complete, key=lambda each: each.value)
    unchanged = _numbers_of(recipe)
    own = next((each for each in complete if each.params == unchanged), None)
    spent = sum(each.duration.total_seconds() for each in finished)
    summary = (
        f"best of {counted(len(finished), 'trial')} in {spent:.0f} s: validation {measure.title} "
        f"{score_of(best):.3f} "
        f"after {counted(short_recipe(recipe).epochs, 'epoch')}"
        + (f" ({score_of(own):.3f} with the unchanged recipe)" if own else "")
    )
    report(f"{summary}: {settings_of(best, recipe)}")
    if own is not None and len(finished) == 1:
        report("there was time only for the unchanged recipe, so nothing was compared")
    chosen = recipe.changed(stored_fields(best.params, recipe))
    values = chosen.to_dict()
    lines = [f"# {summary}", *(f"{name} = {json.dumps(values[name])}" for name in best.params), ""]
    write_text(out / SEARCH_BEST, _run_line(run_id) + "\n".join(lines))
    return chosen


def _run_line(run_id: str | None) -> str:
    return "" if run_id is None else f"run = {json.dumps(run_id)}\n"
