"""The tasks, a folder each: what images are labelled with, and what a network says of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pplcnet.errors import UnknownNameError

if TYPE_CHECKING:
    from pplcnet.tasks.task import Task
    from pplcnet.tasks.task_training import TaskTraining

__all__ = ["TASKS", "find", "training_of"]

TASKS = {
    "classification": "pplcnet.tasks.classification",
    "multilabel": "pplcnet.tasks.multilabel",
}
"""Name to package. The package's modules are imported on first use."""


def find(name: str) -> Task[Any]:
    """The task's plain half; UnknownNameError lists the tasks."""
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    task: Task[Any] = importlib.import_module(f"{TASKS[name]}.task").TASK
    return task


def training_of(task: Task[Any]) -> TaskTraining:
    """What training needs of a task; imports Keras."""
    training: TaskTraining = importlib.import_module(f"{TASKS[task.name]}.training").TRAINING
    return training
