"""calibrate: fit a bundle's temperature, so that a probability of 0.8 is right 8 times in 10.

For multi-label data, the threshold of each label is chosen too.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import today
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError
from pplcnet.exporting.images import match_validation
from pplcnet.exporting.timing import prepare, run_all
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import join_outputs, open_engine
from pplcnet.runtime.selection import DEFAULT
from pplcnet.tasks import find

__all__ = ["calibrate"]

CHUNK = 512


def calibrate(bundle: str | PathLike[str] | Bundle, validation: Dataset) -> Bundle:
    """Fit the temperature on validation photos and write it into the bundle.

    A temperature that does not help is not used: see `metrics.calibration.judge_temperature`. For
    one class per image, answers stay as they are; only probabilities change.

    For multi-label data, the temperature minimises binary cross-entropy over all known labels, and
    each label gets the threshold with the best F1. If that changes answers, INT8 and the tuning
    are removed, since they were judged by the previous answers.

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
    before = bundle.manifest
    calibrate_task = find(before.task).calibrate
    if calibrate_task is None:
        raise InputError(f"{bundle.path}: its task has no probabilities to calibrate.")
    content = bundle.read(str(bundle.variant(DEFAULT.variant)["file"]))
    engine = open_engine(DEFAULT.engine, content, sizes=Sizes.of(bundle.manifest))
    paths = [image.path for image in validation.images]
    outputs = join_outputs(
        [
            run_all(engine, prepare(bundle.manifest.preprocessing, paths[start : start + CHUNK]))
            for start in range(0, len(paths), CHUNK)
        ]
    )
    found = calibrate_task(before, outputs, validation.images)
    calibration = {**found.facts, "images": len(validation), "fitted": today()}
    changes: dict[str, Any] = {
        "calibration": calibration,
        "decoding": {**before.decoding, **found.decoding},
    }
    if not found.changes_answers:
        return update_bundle(bundle, **changes)
    # INT8 and the tuned ways were kept because their answers agree with those before.
    judged = [name for name, each in before.variants.items() if each.get("precision") == "int8"]
    return update_bundle(bundle, without=judged, tuning={}, **changes)
