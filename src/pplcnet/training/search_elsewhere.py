"""Watches a search whose trials are run by other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pplcnet.recipe.recipe import Recipe
from pplcnet.training.search_journal import finished_trials, has_budget
from pplcnet.training.search_lines import line_of_trial
from pplcnet.training.search_sharing import Process, live_trials, redo_silent

if TYPE_CHECKING:
    from pplcnet.tasks.task import Measure

__all__ = ["watch_trials"]

POLL_SECONDS = 1.0


def watch_trials(
    study: Any,
    recipe: Recipe,
    measure: Measure,
    ended_processes: Callable[[], set[Process]],
    report: Callable[[str], None],
    *,
    seconds: float,
    most_trials: int | None,
    silent_after: float,
) -> None:
    """Wait until the search is over; the arguments are those of `searching.search`.

    Args:
        ended_processes: returns the processes that are known to have ended.
    """
    told = {each.number for each in finished_trials(study)}
    while has_budget(study, seconds, most_trials) or live_trials(study):
        time.sleep(min(POLL_SECONDS, silent_after / 5))
        redo_silent(study, silent_after, ended_processes())
        for trial in finished_trials(study):
            if trial.number not in told:
                told.add(trial.number)
                report(line_of_trial(len(told), trial, recipe, measure))
