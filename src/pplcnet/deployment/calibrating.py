"""calibrate: a bundle's temperature, so that a probability of 0.8 is right eight times in ten."""

from __future__ import annotations

from os import PathLike

import numpy as np

from pplcnet.bundle import Bundle, today, update_bundle
from pplcnet.calibration import expected_calibration_error, fit_temperature
from pplcnet.dataset import Dataset
from pplcnet.deployment.measuring import prepare, run_all
from pplcnet.deployment.photos import match_validation
from pplcnet.prediction import softmax
from pplcnet.runtime.engine import open_engine
from pplcnet.runtime.selection import DEFAULT

__all__ = ["calibrate"]

CHUNK = 512


def calibrate(bundle: str | PathLike[str] | Bundle, validation: Dataset) -> Bundle:
    """Fit the temperature on validation photos and write it into the bundle; no answer changes.

    Args:
        bundle: an exported bundle folder; replaced as a whole at the end.
        validation: labelled photos that were not trained on, of the bundle's classes.

    Raises:
        InputError: no photos, or other classes.
        BundleError: no exported network.
    """
    bundle = Bundle.open_to_change(bundle)
    validation = match_validation(bundle, validation)
    content = bundle.read(str(bundle.variant(DEFAULT.variant)["file"]))
    engine = open_engine(DEFAULT.engine, content)
    paths = [image.path for image in validation.images]
    logits = np.concatenate(
        [
            run_all(engine, prepare(bundle.manifest.preprocessing, paths[start : start + CHUNK]))
            for start in range(0, len(paths), CHUNK)
        ]
    )
    labels = np.asarray([image.label for image in validation.images])
    temperature = fit_temperature(logits, labels)
    is_right = logits.argmax(axis=1) == labels
    errors = [
        expected_calibration_error(softmax(logits / each).max(axis=1), is_right)
        for each in (1.0, temperature)
    ]
    calibration = {
        "temperature": round(temperature, 4),
        "images": len(labels),
        "error_before": round(errors[0], 4),
        "error_after": round(errors[1], 4),
        "fitted": today(),
    }
    return update_bundle(bundle, calibration=calibration)
