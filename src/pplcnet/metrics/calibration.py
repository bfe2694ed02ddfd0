"""Temperature scaling, the expected calibration error and reliability diagrams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError
from pplcnet.system.wording import counted

__all__ = [
    "TEMPERATURES",
    "Calibration",
    "Reliability",
    "describe_calibration",
    "expected_calibration_error",
    "fit_sigmoid_temperature",
    "fit_temperature",
    "judge_temperature",
    "least_calibration_error",
    "reliability",
]

# Beyond these, the logits carry no information, or every image is answered correctly.
TEMPERATURES = (0.05, 20.0)
BINS = 15


class Calibration(NamedTuple):
    """The temperature to use, and the calibration error without and with it."""

    temperature: float
    error_before: float
    error_after: float
    refused: float | None = None
    """The fitted temperature, if it is rejected and `temperature` is 1."""
    reason: str = ""
    """Why it was rejected."""

    def facts(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        refused = {} if self.refused is None else {"refused": self.refused, "reason": self.reason}
        return {
            "temperature": self.temperature,
            "error_before": self.error_before,
            "error_after": self.error_after,
            **refused,
        }


def judge_temperature(temperature: float, error: Callable[[float], float]) -> Calibration:
    """The fitted temperature, rounded to four digits, or 1 if it would do harm.

    It is rejected at an end of the search range, where the fit did not converge, and if it makes
    the calibration error worse even on the images that it was fitted on.

    Args:
        error: gives the calibration error of those images at a temperature.
    """
    temperature, before = round(temperature, 4), round(error(1.0), 4)
    low, high = TEMPERATURES
    if temperature <= low * 1.001 or temperature >= high * 0.999:
        return Calibration(
            1.0, before, before, temperature, "the fit hit the end of its search range"
        )
    after = round(error(temperature), 4)
    if after > before:
        worse = f"the calibration error would rise to {after:.3f}"
        return Calibration(1.0, before, before, temperature, worse)
    return Calibration(temperature, before, after)


def describe_calibration(facts: Mapping[str, Any]) -> str:
    """A manifest's calibration, in one sentence."""
    images = counted(facts["images"], "validation photo")
    if "text" in facts:  # from a task that fits no temperature
        return f"{facts['text']}; chosen on {images}"
    if "refused" in facts:
        return (
            f"temperature {facts['refused']:.2f}, fitted on {images}, not used: {facts['reason']}; "
            f"probabilities are left unchanged (calibration error {facts['error_before']:.3f})"
        )
    return (
        f"temperature {facts['temperature']:.2f}, fitted on {images}: "
        f"calibration error {facts['error_before']:.3f} before, {facts['error_after']:.3f} after"
    )


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature T that maximises the likelihood of the labels under softmax(logits / T).

    One number for all classes, so no answer changes (Guo et al. 2017, arXiv 1706.04599). The mean
    negative log-likelihood is convex in 1 / T; the sign of its derivative is bisected.

    Args:
        logits: (N, classes), for images that were not trained on.
        labels: (N,) class indices.

    Raises:
        InputError: no logits, or some that are not finite.
    """
    values = np.asarray(logits, np.float64)
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise InputError(f"logits of shape {values.shape}; finite ones of some images are needed.")
    if (values.argmax(axis=1) == labels).all():
        return 1.0  # without mistakes, the best temperature is 0
    values = values - values.max(axis=1, keepdims=True)
    of_label = values[np.arange(len(values)), labels]

    def slope(inverse: float) -> float:
        weights = np.exp(inverse * values)
        expected = (weights * values).sum(axis=1) / weights.sum(axis=1)
        return float((expected - of_label).mean())

    return _where_slope_is_zero(slope)


def fit_sigmoid_temperature(logits: NDArray[np.floating], is_shown: NDArray[np.bool_]) -> float:
    """The temperature T that maximises the likelihood of the labels under sigmoid(logits / T).

    Like `fit_temperature`, but with binary cross-entropy, which is also convex in 1 / T.

    Args:
        logits: (M,), for known labels of images that were not trained on.
        is_shown: (M,) whether the image shows the label.

    Raises:
        InputError: no logits, or some that are not finite.
    """
    values = np.asarray(logits, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"logits of shape {values.shape}; finite ones of some labels are needed.")
    if ((values > 0) == is_shown).all():
        return 1.0  # without mistakes, the best temperature is 0

    def slope(inverse: float) -> float:
        halves = np.tanh(inverse * values / 2)  # sigmoid(x) = (1 + tanh(x / 2)) / 2
        return float((values * ((1 + halves) / 2 - is_shown)).mean())

    return _where_slope_is_zero(slope)


def _where_slope_is_zero(slope: Callable[[float], float]) -> float:
    """The temperature at which an increasing function of 1 / T crosses zero, or a bound."""
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / (low * high) ** 0.5)


def expected_calibration_error(
    confidences: NDArray[np.floating], is_right: NDArray[np.bool_], bins: int = BINS
) -> float:
    """The mean gap between confidence and accuracy.

    Images are sorted into bins of equal width by the probability of their answer; each bin counts
    with its number of images (Naeini et al. 2015, as used by Guo et al. 2017).

    Args:
        confidences: (N,) probabilities of the answers.
        is_right: (N,) whether the answer is the label.
    """
    if not len(confidences):
        return 0.0
    place = np.minimum((np.asarray(confidences) * bins).astype(int), bins - 1)
    gaps = np.bincount(place, np.asarray(confidences, np.float64) - is_right, bins)
    return float(np.abs(gaps).sum() / len(confidences))


def least_calibration_error(confidences: NDArray[np.floating], draws: int = 200) -> float:
    """The expected calibration error of a perfectly calibrated model, averaged over `draws`.

    Even such a model shows some error on few images: an answer of probability 0.8 is right or
    wrong, never 0.8 right. Only the excess over it is miscalibration.
    """
    generator = np.random.default_rng(0)
    errors = [
        expected_calibration_error(confidences, generator.random(len(confidences)) < confidences)
        for _ in range(draws)
    ]
    return float(np.mean(errors))


class Reliability(NamedTuple):
    """Images in bins of equal width by the probability of their answer; each (bins,)."""

    confidence: NDArray[np.float64]
    """Mean probability; 0 in an empty bin."""
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]


def reliability(
    confidences: NDArray[np.floating], is_right: NDArray[np.bool_], bins: int = BINS
) -> Reliability:
    """The points of a reliability diagram, in the bins of the expected calibration error."""
    place = np.minimum((np.asarray(confidences) * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    return Reliability(
        np.bincount(place, confidences, bins) / filled,
        np.bincount(place, is_right, bins) / filled,
        counts,
    )
