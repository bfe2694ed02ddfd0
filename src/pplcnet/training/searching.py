"""search: a small budgeted search over recipe fields, on validation photos, before the training.

Optuna proposes (TPE: Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011), and its
journal file keeps every trial, so that a search goes on after any kind of end.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.errors import InputError, TrainingDiverged, TrainingInterrupted, require
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.search_space import FIELDS, ranges_of, stored_fields
from pplcnet.recipe.values import read_toml
from pplcnet.system.files import write_text
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.training.names import HISTORY, SEARCH, SEARCH_BEST, SEARCH_TRIALS

if TYPE_CHECKING:
    from pplcnet.data.dataset import Dataset
    from pplcnet.training.image_cache import ImageCache

__all__ = ["parse_budget", "read_best", "require_optuna", "search", "short_recipe"]

_SECONDS = {"s": 1, "m": 60, "h": 3600}
LEAST_EPOCHS = 3
TRIALS_BEFORE_PRUNING = 3
RANDOM_TRIALS = 6
# One photo more is worth more than any loss: validation sets are far smaller than a million.
LOSS_WEIGHT = 1e-6
LARGEST_LOSS = 1e3


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The trial is stopped before its last epoch: it is worse than others were, or diverged."""


def parse_budget(text: str) -> float:
    """`90s`, `20m` or `1.5h` as seconds; InputError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if seconds <= 0:
        raise InputError(
            f"--search is {text!r}; it must be a time above 0 with its unit: 90s, 20m or 2h."
        )
    return seconds


def require_optuna() -> Any:
    """Optuna, or MissingDependencyError with the command that installs it."""
    return require("optuna", purpose="a search", extra="search")


def short_recipe(recipe: Recipe) -> Recipe:
    """What a trial trains: a third of the epochs, at least 3 and no more than the recipe's."""
    epochs = min(recipe.epochs, max(LEAST_EPOCHS, math.ceil(recipe.epochs / 3)))
    if epochs == recipe.epochs:
        return replace(recipe, tensorboard=False)
    return replace(
        recipe,
        epochs=epochs,
        head_epochs=math.ceil(recipe.head_epochs / 3),
        # Still a rise and a fall, where the warm-up would fill the fewer epochs.
        warmup_epochs=min(recipe.warmup_epochs, epochs / 3),
        tensorboard=False,
    )


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
    report: Callable[[str], None] = lambda line: None,
) -> Recipe:
    """Try values of `FIELDS`, the recipe's own first, and return the recipe with the best.

    A trial trains `short_recipe` in `OUT/search/trial-N`, which is removed after it; its figure is
    the best epoch's top-1 on `validation_set`, and the loss where two are equal. Trials that are
    worse than the median of those before at the same epoch are stopped. The best fields are
    written to `OUT/search/best.toml`. Called again, the search goes on: what was finished counts,
    what was running is begun again.

    Args:
        out: the run's folder; it exists.
        seconds: time for all finished trials together. A trial begins when one of average length
            still fits; the first does in any case.
        most_trials: finished trials after which the search ends even so.
        run_id: id of the run that the search belongs to.
        unlabelled: photos without classes, where the recipe has a teacher.
        image_cache: decoded images, which the trials share.
        report: called with one line of text after every trial.

    Raises:
        MissingDependencyError: Optuna is not installed.
        InputError: the journal of an earlier search is damaged, or of another run.
        TrainingInterrupted: Ctrl-C; the finished trials are kept.
    """
    measure = find(train_set.task).measure.title
    study = _opened(out / SEARCH_TRIALS, run_id)
    ranges = ranges_of(recipe)
    _enqueue(study, {name: FIELDS[name].value(recipe) for name in ranges})
    try:
        while _has_budget(study, seconds, most_trials):
            trial = _ask(study, recipe)
            number = len(_finished(study)) + 1
            numbers = {
                name: trial.suggest_float(name, *limits, log=FIELDS[name].logarithmic)
                for name, limits in ranges.items()
            }
            tried = recipe.changed(stored_fields(numbers, recipe))
            photos = train_set, validation_set, unlabelled
            _try(study, trial, tried, out / SEARCH / f"trial-{number}", photos, image_cache)
            report(_line(number, _finished(study)[-1], recipe, measure))
    except TrainingInterrupted as stopped:
        raise TrainingInterrupted(
            f"Stopped in trial {number} of the search, which will be run again; "
            f"{counted(number - 1, 'finished trial')} kept.",
            run=str(out),
            signal=stopped.signal,
        ) from stopped
    except Exception:
        if not _finished(study):  # nothing that could be lost, so that the run can be begun anew
            shutil.rmtree(out / SEARCH)
        raise
    return _chosen(study, recipe, out, measure, run_id, report)


def read_best(out: Path, recipe: Recipe, run_id: str | None = None) -> Recipe | None:
    """The recipe with what a finished search in `out` found; None where there was no search.

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
        raise InputError(f"{path}: belongs to another run; put the right one back.")
    return recipe.changed(values)


# ---------------------------------------------------------------------- the journal


def _opened(path: Path, run_id: str | None) -> Any:
    optuna = require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(exist_ok=True)
    _cut_unfinished_line(path)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=TRIALS_BEFORE_PRUNING),
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged ({error!r:.200}); the search cannot continue; --overwrite starts "
            "it over."
        ) from error
    if not study.get_trials(deepcopy=False) and not study.user_attrs:
        study.set_user_attr("run", run_id)
    if study.user_attrs.get("run") != run_id:
        raise InputError(f"{path}: belongs to another run; put the right one back.")
    return study


def _cut_unfinished_line(path: Path) -> None:
    """What a killed process wrote half would make the next line unreadable."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _enqueue(study: Any, own: dict[str, float]) -> None:
    """The recipe's own values first, then what was running when the process ended."""
    from optuna.trial import TrialState

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    known = [each.params for each in _finished(study)]
    known += [each.user_attrs["numbers"] for each in waiting]
    for each in running:
        study.tell(each.number, state=TrialState.FAIL)
    for numbers in [own, *(each.params for each in running)]:
        if numbers not in known:
            study.enqueue_trial(numbers, user_attrs={"numbers": numbers})
            known.append(numbers)


def _finished(study: Any) -> list[Any]:
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return list(study.get_trials(deepcopy=False, states=ended))


def _has_budget(study: Any, seconds: float, most_trials: int | None) -> bool:
    finished = _finished(study)
    if not finished:
        return True
    if most_trials is not None and len(finished) >= most_trials:
        return False
    spent = sum(each.duration.total_seconds() for each in finished)
    return bool(spent + spent / len(finished) <= seconds)


def _ask(study: Any, recipe: Recipe) -> Any:
    from optuna.samplers import TPESampler

    # A sampler for each trial: what is proposed depends on the seed and the trials before alone,
    # not on where the search was stopped.
    seed = (recipe.seed * 1_000_003 + len(_finished(study))) % 2**32
    study.sampler = TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
    return study.ask()


# ---------------------------------------------------------------------- one trial


def _try(
    study: Any,
    trial: Any,
    tried: Recipe,
    folder: Path,
    photos: tuple[Dataset, Dataset, Sequence[Path]],
    image_cache: ImageCache | None,
) -> None:
    import keras
    from optuna.trial import TrialState

    from pplcnet.training.loop import fit

    train_set, validation_set, unlabelled = photos
    short = short_recipe(tried)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    seen: list[tuple[float, float]] = []

    def look(_: str) -> None:
        rows = _accuracies_and_losses(folder / HISTORY)
        if len(rows) == len(seen):  # a line about something else than an epoch
            return
        seen[:] = rows
        accuracy, loss = rows[-1]
        if not math.isfinite(loss):
            raise _Stopped
        trial.report(_score(accuracy, loss), len(rows))
        # Early epochs say little: the learning rate is still high.
        if short.epochs / 2 <= len(rows) < short.epochs and trial.should_prune():
            raise _Stopped

    try:
        fit(
            train_set,
            validation_set,
            short,
            folder,
            unlabelled=unlabelled,
            image_cache=image_cache,
            report=look,
        )
        state = TrialState.COMPLETE
    except _Stopped:
        state = TrialState.PRUNED
    except TrainingDiverged:
        seen.append((0.0, math.inf))
        state = TrialState.PRUNED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        keras.backend.clear_session()  # the networks of many trials would fill the memory
    accuracy, loss = max(seen, key=lambda each: _score(*each))
    for name, value in (("accuracy", accuracy), ("loss", loss), ("epochs", len(seen))):
        trial.set_user_attr(name, value)
    study.tell(trial, _score(accuracy, loss) if state is TrialState.COMPLETE else None, state=state)


def _accuracies_and_losses(history: Path) -> list[tuple[float, float]]:
    if not history.is_file():
        return []
    with history.open(newline="") as file:
        return [
            (float(row["validation_accuracy"]), float(row["validation_loss"]))
            for row in csv.DictReader(file)
        ]


def _score(accuracy: float, loss: float) -> float:
    """Orders by accuracy, then by loss."""
    if not math.isfinite(loss):
        return -LOSS_WEIGHT * LARGEST_LOSS
    return accuracy - LOSS_WEIGHT * min(loss, LARGEST_LOSS)


# ---------------------------------------------------------------------- what came of it


def _settings(trial: Any, recipe: Recipe) -> str:
    fields = recipe.changed(stored_fields(trial.params, recipe)).to_dict()
    shown = {name: fields[name] for name in trial.params}
    return " ".join(f"{name}={_shown(value)}" for name, value in shown.items())


def _shown(value: Any) -> str:
    return ",".join(f"{each:g}" for each in (value if isinstance(value, list) else [value]))


def _line(number: int, trial: Any, recipe: Recipe, measure: str) -> str:
    found, epochs = trial.user_attrs, short_recipe(recipe).epochs
    is_complete = found["epochs"] == epochs
    cut = "" if is_complete else f", stopped after epoch {found['epochs']} of {epochs}"
    return (
        f"trial {number:>3}  validation {measure} {found['accuracy']:.3f}  loss {found['loss']:.3f}"
        f"  {trial.duration.total_seconds():.0f} s{cut}  {_settings(trial, recipe)}"
    )


def _chosen(
    study: Any,
    recipe: Recipe,
    out: Path,
    measure: str,
    run_id: str | None,
    report: Callable[[str], None],
) -> Recipe:
    from optuna.trial import TrialState

    finished = _finished(study)
    complete = [each for each in finished if each.state is TrialState.COMPLETE]
    if not complete:
        report(
            f"none of {counted(len(finished), 'trial')} reached its last epoch: the recipe is "
            "unchanged"
        )
        write_text(out / SEARCH_BEST, "# No trial reached its last epoch.\n" + _run_line(run_id))
        return recipe
    best = max(complete, key=lambda each: each.value)
    own = complete[0] if complete[0] is finished[0] else None  # the recipe as it was given
    spent = sum(each.duration.total_seconds() for each in finished)
    accuracy = best.user_attrs["accuracy"]
    summary = (
        f"best of {counted(len(finished), 'trial')} in {spent:.0f} s: validation {measure} "
        f"{accuracy:.3f} "
        f"after {counted(short_recipe(recipe).epochs, 'epoch')}"
        + (f" ({own.user_attrs['accuracy']:.3f} with the unchanged recipe)" if own else "")
    )
    report(f"{summary}: {_settings(best, recipe)}")
    if len(finished) == 1:
        report("there was time only for the unchanged recipe, so nothing was compared")
    chosen = recipe.changed(stored_fields(best.params, recipe))
    values = chosen.to_dict()
    lines = [f"# {summary}", *(f"{name} = {json.dumps(values[name])}" for name in best.params), ""]
    write_text(out / SEARCH_BEST, _run_line(run_id) + "\n".join(lines))
    return chosen


def _run_line(run_id: str | None) -> str:
    return "" if run_id is None else f"run = {json.dumps(run_id)}\n"
