"""Multi-label classification: any number of labels per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import ABSENT, PRESENT, UNKNOWN, Marks
from pplcnet.data.audit import Fault
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.metrics.calibration import (
    expected_calibration_error,
    fit_sigmoid_temperature,
    judge_temperature,
)
from pplcnet.tasks.multilabel.decoding import LabelPrediction, decoder, thresholds_of
from pplcnet.tasks.multilabel.evaluation import evaluate
from pplcnet.tasks.multilabel.judge import judge
from pplcnet.tasks.multilabel.measures import choose_thresholds, marks_of
from pplcnet.tasks.scores import joined_logits, sigmoid, sum_log_one_plus_exp
from pplcnet.tasks.task import Calibrated, Measure, Outputs, Task

__all__ = ["TASK"]


def _faults(dataset: Dataset) -> Iterable[Fault]:
    """Labels that cannot be learned."""
    to_train_on = dataset.keep(
        image for image in dataset.images if image.split in ("train", None)
    ).class_counts()
    for at, (name, count) in enumerate(zip(dataset.classes, dataset.class_counts(), strict=True)):
        if count < 2:
            kind, photos = ("one image", "one photo") if count else ("empty class", "no photo")
            yield Fault(kind, f"label {name!r} is on {photos}; it must be on at least two")
        elif dataset.has_splits and not to_train_on[at]:
            yield Fault(
                "empty class", f"nothing to train on: label {name!r} is on no photo in train"
            )


def _notes(dataset: Dataset) -> Iterable[str]:
    marks = [cast(Marks, image.annotation).values for image in dataset.images]
    counts = Counter(mark for values in marks for mark in values)
    if counts[UNKNOWN]:
        share = counts[UNKNOWN] / counts.total()
        yield (
            f"{share:.1%} of the labels are unknown; they are excluded from the loss and the "
            "figures."
        )
    columns = zip(dataset.classes, zip(*marks, strict=True), strict=True)
    always = [name for name, column in columns if ABSENT not in column]
    if always:
        yield f"no photo is known to lack {', '.join(always)}, so these labels cannot be learned."


def _outputs(classes: Sequence[str], _: tuple[int, int], __: str) -> Mapping[str, tuple[int, ...]]:
    return {"logits": (len(classes),)}


def _calibrate(
    manifest: Manifest, outputs: Iterable[Outputs], images: Sequence[LabelledImage]
) -> Calibrated:
    """Fit the temperature by binary cross-entropy over known labels; choose thresholds by F1."""
    logits = joined_logits(outputs)
    marks = marks_of(images, len(manifest.classes))
    known = marks != UNKNOWN
    is_shown = marks[known] == PRESENT
    found = judge_temperature(
        fit_sigmoid_temperature(logits[known], is_shown),
        lambda each: expected_calibration_error(sigmoid(logits[known] / each), is_shown),
    )
    # As in LabelPrediction: a threshold can lie between probabilities that hardly differ.
    chosen = choose_thresholds(sigmoid(logits / np.float32(found.temperature)), marks)
    thresholds = dict(zip(manifest.classes, chosen, strict=True))
    decoding = {"temperature": found.temperature, "thresholds": thresholds}
    before = {"temperature": manifest.temperature, **manifest.decoding}
    is_same = {**before, **decoding} == before
    return Calibrated(decoding, found.facts(), changes_answers=not is_same)


TASK = Task(
    name="multilabel",
    title="several labels each",
    noun="label",
    measure=Measure("map", "mAP", is_share=False, of_steps={"accuracy": "labels right"}),
    annotation=Marks,
    prediction=LabelPrediction,
    faults=_faults,
    notes=_notes,
    outputs=_outputs,
    decoder=decoder,
    judge=judge,
    evaluate=evaluate,
    calibrate=_calibrate,
    decoding=("temperature", "thresholds"),
    head_inputs=("avg_pool",),
    embedding="flatten",
    energy=lambda outputs: sum_log_one_plus_exp(outputs["logits"]),
    facts=lambda manifest: {"thresholds": list(thresholds_of(manifest))},
    outputs_text="logits: float32 (N, classes), before sigmoid",
)
