"""calibrate: a bundle's temperature, so that a probability of 0.8 is right eight times in ten.

And, for multi-label data, from which probability on each label is answered.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import today
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import MULTI, Dataset
from pplcnet.data.layouts.csv_table import PRESENT, UNKNOWN
from pplcnet.export.images import match_validation
from pplcnet.export.timing import prepare, run_all
from pplcnet.metrics.average_precision import choose_thresholds, marks_of
from pplcnet.metrics.calibration import (
    Calibration,
    expected_calibration_error,
    fit_sigmoid_temperature,
    fit_temperature,
    judge_temperature,
)
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.runtime.selection import DEFAULT
from pplcnet.tasks.prediction import sigmoid, softmax

__all__ = ["calibrate"]

CHUNK = 512


def calibrate(bundle: str | PathLike[str] | Bundle, validation: Dataset) -> Bundle:
    """Fit the temperature on validation photos and write it into the bundle; no answer changes.

    A temperature that would do harm is not used: see `pplcnet.calibration.judge_temperature`.

    For multi-label data, the temperature is that of binary cross-entropy over all known
    labels, and each label's threshold is chosen anew, as the one of the best F1. Where that
    changes answers, INT8 and the tuning are dropped: they were judged by the previous answers.

    Args:
        bundle: an exported bundle folder; replaced as a whole at the end.
        validation: labelled photos that were not trained on, of the bundle's classes.

    Raises:
        InputError: no photos, or other classes.
        BundleError: no exported network.
    """
    with Bundle.open_to_change(bundle) as opened:
        return _calibrated(opened, validation)


def _calibrated(bundle: Bundle, validation: Dataset) -> Bundle:
    validation = match_validation(bundle, validation)
    content = bundle.read(str(bundle.variant(DEFAULT.variant)["file"]))
    engine = open_engine(DEFAULT.engine, content, sizes=Sizes.of(bundle.manifest))
    paths = [image.path for image in validation.images]
    logits = np.concatenate(
        [
            run_all(engine, prepare(bundle.manifest.preprocessing, paths[start : start + CHUNK]))
            for start in range(0, len(paths), CHUNK)
        ]
    )
    if validation.task == MULTI:
        return _with_thresholds(bundle, logits, marks_of(validation))
    labels = np.asarray([image.label for image in validation.images])
    is_right = logits.argmax(axis=1) == labels
    found = judge_temperature(
        fit_temperature(logits, labels),
        lambda each: expected_calibration_error(softmax(logits / each).max(axis=1), is_right),
    )
    return update_bundle(bundle, calibration=_facts(found, len(labels)))


def _with_thresholds(
    bundle: Bundle, logits: NDArray[np.float32], marks: NDArray[np.int8]
) -> Bundle:
    known = marks != UNKNOWN
    is_shown = marks[known] == PRESENT
    found = judge_temperature(
        fit_sigmoid_temperature(logits[known], is_shown),
        lambda each: expected_calibration_error(sigmoid(logits[known] / each), is_shown),
    )
    # As Prediction computes it: a threshold lies between probabilities that differ in few digits.
    chosen = choose_thresholds(sigmoid(logits / np.float32(found.temperature)), marks)
    calibration = _facts(found, len(marks))
    thresholds = dict(zip(bundle.classes, chosen, strict=True))
    before = bundle.manifest
    if thresholds == before.thresholds and found.temperature == before.temperature:
        return update_bundle(bundle, calibration=calibration)
    # INT8 and the tuned ways were kept because their answers agree at the thresholds before.
    judged = [name for name, each in before.variants.items() if each.get("precision") == "int8"]
    return update_bundle(
        bundle,
        without=judged,
        calibration=calibration,
        thresholds=thresholds,
        tuning={},
    )


def _facts(found: Calibration, images: int) -> dict[str, Any]:
    return {**found.facts(), "images": images, "fitted": today()}
