"""The checkpoint of a training run, written atomically after every epoch.

One `.npz` of plain arrays plus one JSON text: the model's and the optimiser's variables, the best
weights so far, and the history.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from pplcnet.errors import InputError, PPLCNetError
from pplcnet.models.variables import value_of
from pplcnet.recipe.adapting import earlier
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.files import write_arrays
from pplcnet.training.history import in_columns, metrics_of
from pplcnet.training.saved_facts import FACTS, check_facts, read_arrays
from pplcnet.training.validation import Score
from pplcnet.weights import native

__all__ = ["Progress", "SavedState", "read", "save", "state_variables"]


@dataclass
class Progress:
    """How far a run has come."""

    epoch: int = 0
    """The epoch to run next, from 0."""
    step: int = 0
    """The step within that epoch to run next; above 0 only after an interruption."""
    loss_sum: float = 0.0
    """Sum over the finished steps of the current epoch."""
    metric_sums: dict[str, float] = field(default_factory=dict)
    """The same for each metric of a step, by name."""
    best_epoch: int = -1
    best_score: float = -1.0
    """The task's measure on the validation images after the best epoch."""
    best_loss: float = float("inf")
    best_values: dict[str, np.ndarray] = field(default_factory=dict)
    """The weights after that epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row per finished epoch."""
    options: dict[str, Any] = field(default_factory=dict)
    """The options that the task built the network with."""
    adapted: dict[str, Any] = field(default_factory=dict)
    """The recipe fields that were chosen by the number of images (`recipe.adapting`)."""
    start: dict[str, Any] | None = None
    """What the training started from (`weights.starts.Start.facts`), if that was recorded."""
    run: str | None = None
    """Id of the run that the state belongs to, as in its `run.json`; None outside a run."""

    def keep_if_best(self, score: Score, network: keras.Model) -> None:
        """Keep the network's current weights if this epoch is the best so far."""
        best = Score(self.best_score, self.best_loss)
        if math.isfinite(score.loss) and score.is_better_than(best):
            self.best_epoch = self.epoch
            self.best_score, self.best_loss = score
            self.best_values = native.get_values(network)

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought no improvement; always False for 0."""
        waited = self.epoch - 1 - self.best_epoch
        return bool(patience and self.history and waited >= patience)


def save(path: Path, model: keras.Model, network: keras.Model, progress: Progress) -> None:
    """Write the state beside `path` and move it there; a crash leaves the old one in place.

    `model` is what is trained: the network, its head, or a model around either. StorageError when
    the state cannot be written; the previous one stays intact.
    """
    arrays = {
        f"state/{name}": value_of(variable)
        for name, variable in _state_variables(model, network).items()
    }
    arrays |= {f"best/{name}": value for name, value in progress.best_values.items()}
    facts = {
        each.name: getattr(progress, each.name)
        for each in fields(Progress)
        if each.name != "best_values"
    }
    arrays[FACTS] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    write_arrays(path, arrays)


class SavedState(NamedTuple):
    """A saved state, read once, for building the network and for restoring it."""

    path: Path
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def options(self) -> dict[str, Any]:
        """The options that its network was built with."""
        return dict(self.facts.get("options", {}))

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with its open fields set as they were when training began.

        InputError when the state holds a value that the recipe does not allow.
        """
        try:
            return recipe.changed(self.facts.get("adapted", earlier(recipe)))
        except PPLCNetError as error:
            raise InputError(f"{self.path}: belongs to another recipe ({error}).") from error

    def check_run(self, run_id: str | None) -> None:
        """InputError when the state belongs to another run than `run_id`; None accepts any."""
        if run_id is not None and self.facts.get("run") != run_id:
            raise InputError(f"{self.path}: belongs to another run; restore the right one.")

    def restore(self, model: keras.Model, network: keras.Model, columns: Sequence[str]) -> Progress:
        """Restore the state into a compiled model; returns how far the run had come.

        `columns` are those of the history. InputError when the state belongs to another network,
        task or version.
        """
        known = {each.name for each in fields(Progress)}
        facts = {name: value for name, value in self.facts.items() if name in known}
        try:
            for name, variable in _state_variables(model, network).items():
                variable.assign(self.arrays[f"state/{name}"])
            best = {
                name.removeprefix("best/"): value
                for name, value in self.arrays.items()
                if name.startswith("best/")
            }
            _check_best(best, network, facts["best_epoch"])
            facts["history"] = [in_columns(row, columns) for row in facts["history"]]
            facts["metric_sums"] = dict(
                zip(metrics_of(columns), facts["metric_sums"].values(), strict=True)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: this state belongs to another recipe or version ({error})."
            ) from error
        return Progress(best_values=best, **facts)


def read(path: Path) -> SavedState:
    """Read a saved state; InputError when it is damaged."""
    arrays = read_arrays(path)
    return SavedState(path, check_facts(path, arrays), arrays)


def _check_best(best: dict[str, np.ndarray], network: keras.Model, best_epoch: int) -> None:
    """ValueError if the best weights do not fit the network; found now, not hours later."""
    if best_epoch < 0:
        return
    wanted = {name: value.shape for name, value in native.get_values(network).items()}
    if {name: value.shape for name, value in best.items()} != wanted:
        raise ValueError("its best weights are of another network")


def state_variables(model: keras.Model, network: keras.Model) -> list[keras.Variable]:
    """Everything that a step changes, in an order that is the same after a resume."""
    return list(_state_variables(model, network).values())


def _state_variables(model: keras.Model, network: keras.Model) -> dict[str, keras.Variable]:
    # Everything that a step changes: weights, moving statistics, dropout's random state, running
    # metrics, and the optimiser's moments and step count; and, when only the head is trained, the
    # backbone. Numbered, since names may repeat.
    variables = [*model.variables, *model.optimizer.variables]
    held = {id(each) for each in variables}
    variables += [each for each in network.variables if id(each) not in held]
    return {f"{at:04d}": variable for at, variable in enumerate(variables)}
