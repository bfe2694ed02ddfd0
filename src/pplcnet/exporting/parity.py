"""Checks on real images that an exported network gives the same answers as Keras."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ConversionError
from pplcnet.system.wording import counted
from pplcnet.tasks.task import Judge, Outputs

__all__ = ["describe_parity", "in_full_precision", "keras_outputs", "measure_parity"]

MIN_AGREEMENT = 0.98
BATCH_SIZE = 16


@contextmanager
def in_full_precision() -> Iterator[None]:
    """Within, models are built and run in float32 on the CPU, whatever they were trained on.

    By default, a GPU multiplies float32 matrices with 10 bits of mantissa (TF32), and the policy
    for new layers may be 16-bit: either differs from the exported network by a hundred times the
    limit.
    """
    policy = keras.config.dtype_policy()
    with ExitStack() as stack:
        if keras.backend.backend() == "jax":
            _use_jax_in_full_precision(stack)
        else:
            stack.enter_context(keras.device("cpu"))
        stack.callback(keras.config.set_dtype_policy, policy)
        keras.config.set_dtype_policy("float32")
        yield


def _use_jax_in_full_precision(stack: ExitStack) -> None:
    """Use JAX's CPU or, if JAX_PLATFORMS excludes it, its GPU in full precision."""
    import jax

    if jax.default_backend() == "cpu":
        return  # with other settings, JAX would recompile everything
    try:
        stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
    except RuntimeError:  # there is no CPU
        stack.enter_context(jax.default_matmul_precision("highest"))


def keras_outputs(model: keras.Model, manifest: Manifest, pixels: NDArray[np.uint8]) -> Outputs:
    """A Keras model's outputs for prepared images (N, height, width, 3), by name.

    Must be called `in_full_precision`, where the model was built.
    """
    parts: list[list[NDArray[np.float32]]] = []
    batch_size = min(BATCH_SIZE, len(pixels))
    for start in range(0, len(pixels), batch_size):
        part = pixels[start : start + batch_size]
        # A last batch of another size would be recompiled, which takes seconds with JAX.
        padding = [(0, batch_size - len(part)), *[(0, 0)] * (part.ndim - 1)]
        images = manifest.preprocessing.normalize(np.pad(part, padding))
        found = model.predict_on_batch(images)
        parts.append([np.asarray(each)[: len(part)] for each in _listed(found)])
    return {
        name: np.concatenate(each)
        for name, each in zip(manifest.outputs, zip(*parts, strict=True), strict=True)
    }


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def measure_parity(
    expected: Outputs, actual: Outputs, judge: Judge, tolerance: float = 1e-4
) -> dict[str, Any]:
    """Compare every output, and the answers; returns figures for the manifest.

    Args:
        expected: Keras' outputs by name, (N, ...) each.
        actual: those of the exported network.
        judge: the judge of the bundle's task; its images are not used.
        tolerance: the largest allowed difference, relative to an output's largest value.

    Raises:
        ConversionError: they differ by more than allowed, with the figures.
    """
    images = len(next(iter(expected.values())))
    outputs = {
        name: {
            "largest_difference": float(np.abs(values - actual[name]).max()),
            "largest": float(np.abs(values).max()),
        }
        for name, values in expected.items()
    }
    agreement = judge.judged([actual]).agreement(judge.judged([expected]))
    figures = {"images": images, "outputs": outputs, "agreement": agreement}
    # Written so that NaN on either side fails.
    is_equal = all(
        each["largest_difference"] <= tolerance * each["largest"] for each in outputs.values()
    )
    if not (is_equal and agreement >= MIN_AGREEMENT):
        raise ConversionError(
            f"the exported network does not agree with Keras on {counted(images, 'image')}: "
            f"{json.dumps(figures)}; the limits are a difference of {tolerance} of "
            f"the largest value of an output, and agreement of {MIN_AGREEMENT} of the predictions. "
            "The bundle is unchanged."
        )
    return figures


def describe_parity(parity: Mapping[str, Any]) -> str:
    """A manifest's parity figures as one line of text."""
    outputs = ", ".join(
        f"{each['largest_difference']:.1e} in {name} (up to {each['largest']:.3g})"
        for name, each in parity["outputs"].items()
    )
    return (
        f"on {counted(parity['images'], 'photo')} the largest difference from Keras is {outputs}, "
        f"{parity['agreement']:.1%} of the predictions agree"
    )
