"""Whether an exported network answers as Keras does, on real images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ConversionError
from pplcnet.system.wording import counted
from pplcnet.tasks.task import Judge, Outputs

__all__ = ["describe_parity", "keras_outputs", "measure_parity"]

# The fused graph computes the same in another order. What that costs in float32 was below 1e-5 of
# the largest output for every network of the catalog; ten times that means a fault.
MAX_RELATIVE_DIFFERENCE = 1e-4
MIN_AGREEMENT = 0.98


def keras_outputs(model: keras.Model, manifest: Manifest, pixels: NDArray[np.uint8]) -> Outputs:
    """A Keras model's outputs for prepared images (N, height, width, 3), by name."""
    images = manifest.preprocessing.normalize(pixels)
    found = model.predict(images, batch_size=16, verbose=0)
    arrays = found if isinstance(found, list | tuple) else [found]
    return {name: np.asarray(each) for name, each in zip(manifest.outputs, arrays, strict=True)}


def measure_parity(expected: Outputs, actual: Outputs, judge: Judge) -> dict[str, Any]:
    """Compare every output, and the answers; figures for the manifest.

    Args:
        expected: Keras' outputs by name, (N, ...) each.
        actual: those of the exported network.
        judge: of the bundle's task; its images are not looked at.

    Raises:
        ConversionError: they differ by more than is allowed, with the numbers.
    """
    images = len(next(iter(expected.values())))
    outputs = {
        name: {
            "largest_difference": float(np.abs(values - actual[name]).max()),
            "largest": float(np.abs(values).max()),
        }
        for name, values in expected.items()
    }
    agreement = judge.agreement(actual, expected)
    figures = {"images": images, "outputs": outputs, "agreement": agreement}
    # Written so that a NaN on either side fails.
    is_equal = all(
        each["largest_difference"] <= MAX_RELATIVE_DIFFERENCE * each["largest"]
        for each in outputs.values()
    )
    if not (is_equal and agreement >= MIN_AGREEMENT):
        raise ConversionError(
            f"the exported network does not agree with Keras on {counted(images, 'image')}: "
            f"{json.dumps(figures)}; the limits are a difference of {MAX_RELATIVE_DIFFERENCE} of "
            f"the largest value of an output, and agreement of {MIN_AGREEMENT} of the predictions. "
            "The bundle is unchanged."
        )
    return figures


def describe_parity(parity: Mapping[str, Any]) -> str:
    """A manifest's parity in one line."""
    outputs = ", ".join(
        f"{each['largest_difference']:.1e} in {name} (up to {each['largest']:.3g})"
        for name, each in parity["outputs"].items()
    )
    return (
        f"on {counted(parity['images'], 'photo')} the largest difference to Keras is {outputs}, "
        f"{parity['agreement']:.1%} of the predictions agree"
    )
