"""The journal of a search: Optuna's file of all trials, which survives a crash or a kill."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from pplcnet.errors import InputError, require
from pplcnet.training.search_sharing import live_trials

__all__ = [
    "enqueue",
    "finished_trials",
    "has_budget",
    "next_trial",
    "open_study",
    "pruner",
    "rank",
    "require_optuna",
    "score_of",
]

TRIALS_BEFORE_PRUNING = 3
RANDOM_TRIALS = 6
# One more correct image outweighs any loss: validation sets are far smaller than a million.
LOSS_WEIGHT = 1e-6
LARGEST_LOSS = 1e3


def require_optuna() -> Any:
    """Optuna, or MissingDependencyError with the command that installs it."""
    return require("optuna", purpose="a search", extra="search")


def pruner() -> Any:
    """The pruner, which stops a trial that is worse than the others."""
    return require_optuna().pruners.MedianPruner(n_startup_trials=TRIALS_BEFORE_PRUNING)


def open_study(path: Path, run_id: str | None) -> Any:
    """The study whose journal is this file, or a new one.

    Raises:
        InputError: the journal is damaged, or belongs to another run.
        MissingDependencyError: Optuna is not installed.
    """
    optuna = require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(exist_ok=True)
    lock = JournalFileOpenLock(str(path))
    _cut_unfinished_line(path, lock)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path), lock)),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
            pruner=pruner(),
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged ({error!r:.200}); the search cannot continue; --overwrite starts "
            "it over."
        ) from error
    if not study.get_trials(deepcopy=False) and not study.user_attrs:
        study.set_user_attr("run", run_id)
    if study.user_attrs.get("run") != run_id:
        raise InputError(f"{path}: belongs to another run; restore the right one.")
    return study


def _cut_unfinished_line(path: Path, lock: Any) -> None:
    """Remove a killed process's unfinished line, which would make the next one unreadable."""
    if not path.is_file():
        return
    lock.acquire()  # other processes may be writing
    try:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    finally:
        lock.release()


def enqueue(study: Any, own: dict[str, float]) -> None:
    """Enqueue the recipe's own values, unless they are queued or were tried already."""
    from optuna.trial import TrialState

    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    known = [each.params for each in (*finished_trials(study), *live_trials(study))]
    known += [each.user_attrs["numbers"] for each in waiting]
    if own not in known:
        study.enqueue_trial(own, user_attrs={"numbers": own})


def finished_trials(study: Any) -> list[Any]:
    """The trials that are complete or were pruned."""
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return list(study.get_trials(deepcopy=False, states=ended))


def has_budget(study: Any, seconds: float, most_trials: int | None) -> bool:
    """Whether another trial of average length fits into the time; the first always does.

    Each of several processes that search at the same time has that much time.
    """
    finished, running = finished_trials(study), live_trials(study)
    if most_trials is not None and len(finished) + len(running) >= most_trials:
        return False
    if not finished and not running:
        return True
    spent = sum(each.duration.total_seconds() for each in finished)
    mean = spent / max(1, len(finished))
    now = time.time()
    spent += sum(now - each.user_attrs.get("began", now) for each in running)
    return bool(spent / (1 + len(running)) + mean <= seconds)


def next_trial(study: Any, seed: int, most_trials: int | None = None) -> Any:
    """A trial whose values are still to be drawn; None if others have started the last ones."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    trial = study.ask()
    before = [
        each
        for each in (*finished_trials(study), *live_trials(study))
        if each.number < trial.number
    ]
    if most_trials is not None and len(before) >= most_trials:
        study.tell(trial, state=TrialState.FAIL)
        return None
    # One sampler per trial: a proposal then depends only on the seed and the earlier trials, not
    # on where the search was stopped.
    own = (seed * 1_000_003 + len(before)) % 2**32
    study.sampler = TPESampler(seed=own, n_startup_trials=RANDOM_TRIALS)
    return trial


def rank(score: float, loss: float) -> float:
    """A number to rank trials by: higher score first, then lower loss."""
    if not math.isfinite(loss):
        return -LOSS_WEIGHT * LARGEST_LOSS
    return score - LOSS_WEIGHT * min(loss, LARGEST_LOSS)


def score_of(trial: Any) -> float:
    """The task's measure of a trial's best epoch."""
    attributes = trial.user_attrs
    # Journals of version 0.1 called every measure accuracy.
    return float(attributes["score"] if "score" in attributes else attributes["accuracy"])
