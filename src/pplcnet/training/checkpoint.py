"""The state of a training run on disk: written whole or not at all, after every epoch.

One `.npz` of plain arrays plus one JSON text: the model's and the optimiser's variables, the best
weights so far, and the history.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from pplcnet.errors import InputError
from pplcnet.models.variables import value_of
from pplcnet.system.files import write_arrays
from pplcnet.training.saved_facts import FACTS, check_facts, read_arrays
from pplcnet.weights import native

__all__ = ["Progress", "SavedState", "read", "save"]


@dataclass
class Progress:
    """How far a run has come."""

    epoch: int = 0
    """The epoch to run next, from 0."""
    step: int = 0
    """The step within that epoch to run next; above 0 only after an interruption."""
    loss_sum: float = 0.0
    """Over the steps of the current epoch that are done."""
    accuracy_sum: float = 0.0
    best_epoch: int = -1
    best_accuracy: float = -1.0
    best_loss: float = float("inf")
    best_values: dict[str, np.ndarray] = field(default_factory=dict)
    """The weights after the best epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row for each finished epoch."""
    options: dict[str, Any] = field(default_factory=dict)
    """What `build_model` built the network with."""
    run: str | None = None
    """Id of the run that the state belongs to, as in its `run.json`; None outside of a run."""


def save(path: Path, model: keras.Model, whole: keras.Model, progress: Progress) -> None:
    """Write the state beside `path` and move it there, so that a crash leaves the old one.

    `model` is what is trained: the whole network, or its head. StorageError when it cannot be
    written; the state before is intact.
    """
    arrays = {
        f"state/{name}": value_of(variable)
        for name, variable in _state_variables(model, whole).items()
    }
    arrays |= {f"best/{name}": value for name, value in progress.best_values.items()}
    facts = {
        "run": progress.run,
        "epoch": progress.epoch,
        "step": progress.step,
        "loss_sum": progress.loss_sum,
        "accuracy_sum": progress.accuracy_sum,
        "best_epoch": progress.best_epoch,
        "best_accuracy": progress.best_accuracy,
        "best_loss": progress.best_loss,
        "history": progress.history,
        "options": progress.options,
    }
    arrays[FACTS] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    write_arrays(path, arrays)


class SavedState(NamedTuple):
    """A saved state, read once: before its network is built, and when it is put into it."""

    path: Path
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def options(self) -> dict[str, Any]:
        """What its network was built with."""
        return dict(self.facts.get("options", {}))

    def check_run(self, run_id: str | None) -> None:
        """InputError when the state belongs to another run than `run_id`; None takes any."""
        if run_id is not None and self.facts.get("run") != run_id:
            raise InputError(f"{self.path}: belongs to another run; put the right one back.")

    def restore(self, model: keras.Model, whole: keras.Model) -> Progress:
        """Put the state into a compiled model and say how far it had come."""
        try:
            for name, variable in _state_variables(model, whole).items():
                variable.assign(self.arrays[f"state/{name}"])
            best = {
                name.removeprefix("best/"): value
                for name, value in self.arrays.items()
                if name.startswith("best/")
            }
            _check_best(best, whole, self.facts["best_epoch"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: this state belongs to another recipe or version ({error})."
            ) from error
        known = {each.name for each in fields(Progress)}
        return Progress(
            best_values=best, **{name: each for name, each in self.facts.items() if name in known}
        )


def read(path: Path) -> SavedState:
    """Read a saved state; InputError when it is damaged."""
    arrays = read_arrays(path)
    return SavedState(path, check_facts(path, arrays), arrays)


def _check_best(best: dict[str, np.ndarray], whole: keras.Model, best_epoch: int) -> None:
    """ValueError, before hours of training, when the best weights so far are not this network's."""
    if best_epoch < 0:
        return
    wanted = {name: value.shape for name, value in native.get_values(whole).items()}
    if {name: value.shape for name, value in best.items()} != wanted:
        raise ValueError("its best weights are of another network")


def _state_variables(model: keras.Model, whole: keras.Model) -> dict[str, keras.Variable]:
    # Everything that a step changes: weights, moving statistics, dropout's random state, running
    # metrics, and the optimiser's moments and step count; and what lies before a head that is
    # trained alone. Numbered, since names may repeat.
    variables = [*model.variables, *model.optimizer.variables]
    held = {id(each) for each in variables}
    variables += [each for each in whole.variables if id(each) not in held]
    return {f"{at:04d}": variable for at, variable in enumerate(variables)}
