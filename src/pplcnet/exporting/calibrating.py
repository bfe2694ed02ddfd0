"""calibrate: fits a bundle's temperature, so that a probability of 0.8 is right 8 times in 10.

For multi-label data, the threshold of each label is chosen too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import today
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError
from pplcnet.exporting.images import evenly_chosen, match_validation
from pplcnet.exporting.timing import prepare, run_in_parts
from pplcnet.exporting.typicality import TRAINING_LIMIT, fit_typicality, typicality_facts
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import Engine, join_outputs, open_engine
from pplcnet.runtime.selection import DEFAULT
from pplcnet.runtime.typicality import FACTS, TYPICALITY_FILE
from pplcnet.tasks import find
from pplcnet.tasks.task import EMBEDDING, Outputs

__all__ = ["calibrate"]

CHUNK = 512


def calibrate(
    bundle: str | PathLike[str] | Bundle,
    validation: Dataset,
    *,
    training: Sequence[str | PathLike[str]] = (),
) -> Bundle:
    """Fit the temperature on validation photos and write it into the bundle.

    A temperature that does not help is not used: see `metrics.calibration.judge_temperature`. For
    one class per image, only probabilities change, not answers.

    For multi-label data, the temperature minimises binary cross-entropy over all known labels, and
    each label gets the threshold with the best F1. If that changes answers, INT8 and the tuning are
    removed, because they were judged by the previous answers.

    Args:
        bundle: an exported bundle folder; replaced as a whole at the end.
        validation: labelled photos of the bundle's classes that were not trained on.
        training: photos that were trained on. At most 1000 of them, evenly sampled, define what is
            typical; a prediction's typicality is relative to that of the validation photos. Without
            training photos, or without an embedding, the bundle keeps what it has.

    Raises:
        InputError: no photos, or other classes.
        BundleError: no exported network.
    """
    with Bundle.open_to_change(bundle) as opened:
        return _calibrated(opened, validation, training)


def _calibrated(
    bundle: Bundle, validation: Dataset, training: Sequence[str | PathLike[str]]
) -> Bundle:
    validation = match_validation(bundle, validation)
    before = bundle.manifest
    calibrate_task = find(before.task).calibrate
    if calibrate_task is None:
        raise InputError(f"{bundle.path}: its task has no probabilities to calibrate.")
    content = bundle.read(str(bundle.variant(DEFAULT.variant)["file"]))
    engine = open_engine(DEFAULT.engine, content, sizes=Sizes.of(bundle.manifest))
    embedded: list[Outputs] = []

    def outputs() -> Iterator[Outputs]:
        for some in _outputs(engine, bundle, [image.path for image in validation.images]):
            if EMBEDDING in some:
                embedded.append(some)
            yield some

    found = calibrate_task(before, outputs(), validation.images)
    calibration = {**found.facts, "images": len(validation), "fitted": today()}
    files = {}
    fitted = None
    if training and embedded:
        chosen = evenly_chosen(training, TRAINING_LIMIT)
        seen = np.concatenate([some[EMBEDDING] for some in _outputs(engine, bundle, chosen)])
        fitted = fit_typicality(seen, join_outputs(embedded), find(before.task).energy)
    if fitted is not None:
        calibration[FACTS] = typicality_facts(fitted, len(chosen))
        files[TYPICALITY_FILE] = fitted.content()
    elif FACTS in before.calibration:
        calibration[FACTS] = before.calibration[FACTS]
    changes: dict[str, Any] = {
        "files": files,
        "calibration": calibration,
        "decoding": {**before.decoding, **found.decoding},
    }
    if not found.changes_answers:
        return update_bundle(bundle, **changes)
    # INT8 and the tuning were accepted because their answers agreed with the previous ones.
    judged = [name for name, each in before.variants.items() if each.get("precision") == "int8"]
    return update_bundle(bundle, without=judged, tuning={}, **changes)


def _outputs(
    engine: Engine, bundle: Bundle, paths: Sequence[str | PathLike[str]]
) -> Iterator[Outputs]:
    """Yield the network's outputs for photos, with a few hundred in memory at a time."""
    for start in range(0, len(paths), CHUNK):
        yield from run_in_parts(
            engine, prepare(bundle.manifest.preprocessing, paths[start : start + CHUNK])
        )
