"""Classification: one class per image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import ClassLabel
from pplcnet.data.audit import Fault
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    judge_temperature,
)
from pplcnet.tasks.classification.decoding import ClassPrediction, decoder
from pplcnet.tasks.classification.evaluation import evaluate
from pplcnet.tasks.classification.judge import judge
from pplcnet.tasks.scores import joined_logits, log_sum_exp, softmax
from pplcnet.tasks.task import Calibrated, Measure, Outputs, Task

__all__ = ["TASK"]


def _faults(dataset: Dataset) -> Iterable[Fault]:
    """Classes that cannot be learned."""
    members: list[list[LabelledImage]] = [[] for _ in dataset.classes]
    for image in dataset.images:
        members[image.shown[0]].append(image)
    for name, images in zip(dataset.classes, members, strict=True):
        if not images:
            yield Fault("empty class", f"empty class: {name!r} has no images")
        elif len(images) == 1:
            text = f"class with one image: {name!r} has only {dataset.name_of(images[0])}"
            yield Fault("one image", text, tuple(images))
        elif dataset.has_splits and not any(each.split in ("train", None) for each in images):
            text = f"nothing to train on: class {name!r} has no images in train"
            yield Fault("empty class", text, tuple(images))


def _notes(dataset: Dataset) -> Iterable[str]:
    return ()


def _outputs(classes: Sequence[str], _: tuple[int, int], __: str) -> Mapping[str, tuple[int, ...]]:
    return {"logits": (len(classes),)}


def _calibrate(
    manifest: Manifest, outputs: Iterable[Outputs], images: Sequence[LabelledImage]
) -> Calibrated:
    logits = joined_logits(outputs)
    labels = np.asarray([image.shown[0] for image in images])
    is_right = logits.argmax(axis=1) == labels
    found = judge_temperature(
        fit_temperature(logits, labels),
        lambda each: expected_calibration_error(softmax(logits / each).max(axis=1), is_right),
    )
    return Calibrated({"temperature": found.temperature}, found.facts(), changes_answers=False)


TASK = Task(
    name="classification",
    title="one label each",
    noun="class",
    measure=Measure("top1", "top-1", is_share=True),
    annotation=ClassLabel,
    prediction=ClassPrediction,
    faults=_faults,
    notes=_notes,
    outputs=_outputs,
    decoder=decoder,
    judge=judge,
    evaluate=evaluate,
    calibrate=_calibrate,
    head_inputs=("avg_pool",),
    embedding="flatten",
    energy=lambda outputs: log_sum_exp(outputs["logits"]),
    outputs_text="logits: float32 (N, classes), before softmax",
)
