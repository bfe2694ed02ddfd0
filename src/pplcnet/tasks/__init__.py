"""The tasks, one folder each: how images are labelled, and what a network predicts for them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from pplcnet.errors import BundleError, UnknownNameError

if TYPE_CHECKING:
    from pplcnet.bundle.manifest import Manifest
    from pplcnet.pages.section import ReportContext, TaskReport
    from pplcnet.recipe.task_options import TaskOptions
    from pplcnet.tasks.task import Task
    from pplcnet.tasks.task_training import TaskTraining

__all__ = [
    "TASKS",
    "answers_of",
    "find",
    "options_of",
    "outputs_of",
    "report_of",
    "task_of",
    "training_of",
]

TASKS = {
    "classification": "pplcnet.tasks.classification",
    "detection": "pplcnet.tasks.detection",
    "multilabel": "pplcnet.tasks.multilabel",
    "segmentation": "pplcnet.tasks.segmentation",
}
"""Name to package. The package's modules are imported on first use."""


def find(name: str) -> Task[Any]:
    """The task of this name, without its Keras half; UnknownNameError lists the tasks."""
    task: Task[Any] = _part(name, "task").TASK
    return task


def task_of(manifest: Manifest, bundle: str | PathLike[str]) -> Task[Any]:
    """The task of a bundle's manifest.

    Args:
        bundle: the bundle's name, for error messages.

    Raises:
        BundleError: this version does not know the task, or the manifest has a decoding entry that
            the task does not use.
    """
    try:
        task = find(manifest.task)
    except UnknownNameError as error:
        raise BundleError(f"{bundle}: {error} A newer pplcnet may know it.") from None
    unused = sorted(manifest.decoding.keys() - {*task.decoding})
    if unused:
        raise BundleError(
            f"{bundle}: its manifest has {', '.join(unused)}, which the task {task.name!r} does "
            "not use: the bundle is of another task, or was edited."
        )
    return task


def answers_of(manifest: Manifest) -> tuple[str, ...]:
    """The names of the network's outputs that a prediction is made from."""
    return tuple(outputs_of(manifest))


def outputs_of(manifest: Manifest) -> Mapping[str, tuple[int, ...]]:
    """The network outputs that a manifest's task needs: name to shape for one image."""
    # A lone exported file is named after the file; its metadata tells which network it is.
    network = str(manifest.network.get("network") or manifest.network.get("name", ""))
    return find(manifest.task).outputs(manifest.classes, manifest.preprocessing.image_size, network)


def options_of(name: str) -> type[TaskOptions]:
    """The task's recipe fields; UnknownNameError lists the tasks."""
    options: type[TaskOptions] = _part(name, "options").OPTIONS
    return options


def training_of(task: Task[Any]) -> TaskTraining:
    """The task's `TaskTraining`; imports Keras."""
    training: TaskTraining = _part(task.name, "training").TRAINING
    return training


def report_of(task: Task[Any]) -> Callable[[ReportContext], TaskReport]:
    """The function that makes the task's part of a report."""
    report: Callable[[ReportContext], TaskReport] = _part(task.name, "report").report
    return report


def _part(name: str, module: str) -> Any:
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return importlib.import_module(f"{TASKS[name]}.{module}")
