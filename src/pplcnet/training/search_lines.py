"""The time budget of a search, the short recipe of its trials, and their lines of text."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.errors import InputError
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.search_space import stored_fields
from pplcnet.training.search_journal import score_of

if TYPE_CHECKING:
    from pplcnet.tasks.task import Measure

__all__ = ["line_of_trial", "parse_budget", "scores_and_losses", "settings_of", "short_recipe"]

_SECONDS = {"s": 1, "m": 60, "h": 3600}
LEAST_EPOCHS = 3


def parse_budget(text: str) -> float:
    """Seconds in `90s`, `20m` or `1.5h`; InputError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise InputError(
            f"--search is {text!r}; it must be a time above 0 with its unit: 90s, 20m or 2h."
        )
    return seconds


def short_recipe(recipe: Recipe) -> Recipe:
    """The recipe of a trial: a third of the epochs, at least 3 and no more than the recipe's."""
    epochs = min(recipe.epochs, max(LEAST_EPOCHS, math.ceil(recipe.epochs / 3)))
    if epochs == recipe.epochs:
        return replace(recipe, tensorboard=False)
    return replace(
        recipe,
        epochs=epochs,
        head_epochs=math.ceil(recipe.head_epochs / 3),
        # The rate should still rise and fall, even if the warm-up would fill all these epochs.
        warmup_epochs=min(recipe.warmup_epochs or 0.0, epochs / 3),
        tensorboard=False,
    )


def scores_and_losses(history: Path, column: str) -> list[tuple[float, float]]:
    """The validation score and loss of every epoch in a history.csv."""
    if not history.is_file():
        return []
    with history.open(newline="") as file:
        return [(float(row[column]), float(row["validation_loss"])) for row in csv.DictReader(file)]


def settings_of(trial: Any, recipe: Recipe) -> str:
    """The fields that a trial tried, in the form that --set takes."""
    fields = recipe.changed(stored_fields(trial.params, recipe)).to_dict()
    shown = {name: fields[name] for name in trial.params}
    return " ".join(f"{name}={_shown(value)}" for name, value in shown.items())


def _shown(value: Any) -> str:
    return ",".join(f"{each:g}" for each in (value if isinstance(value, list) else [value]))


def line_of_trial(number: int, trial: Any, recipe: Recipe, measure: Measure) -> str:
    """A finished trial as one line of text."""
    found, epochs = trial.user_attrs, short_recipe(recipe).epochs
    is_complete = found["epochs"] == epochs
    cut = "" if is_complete else f", stopped after epoch {found['epochs']} of {epochs}"
    return (
        f"trial {number:>3}  validation {measure.title} {score_of(trial):.3f}"
        f"  loss {found['loss']:.3f}  {trial.duration.total_seconds():.0f} s{cut}"
        f"  {settings_of(trial, recipe)}"
    )
