"""The calibration section, for tasks whose probabilities are scaled by a temperature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pplcnet.metrics.calibration import (
    expected_calibration_error,
    least_calibration_error,
    reliability,
)
from pplcnet.pages import charts
from pplcnet.pages.section import Section

__all__ = ["calibration_section"]


def calibration_section(
    points_at: Callable[[float], tuple[NDArray[np.float64], NDArray[np.bool_]]],
    temperature: float,
    *,
    is_fitted: bool,
    axes: tuple[str, str],
    explanation: str,
) -> Section:
    """Reliability diagrams and calibration errors with and without the temperature.

    Args:
        points_at: from a temperature to probabilities (M,), and whether each came true (M,).
        temperature: the bundle's.
        is_fitted: whether it was fitted on images.
        axes: the labels of the diagrams' axes.
        explanation: how to read the diagrams.
    """
    drawn = [("Temperature 1: as trained", 1.0)]
    if temperature != 1:
        drawn.append((f"Temperature {temperature:.2f}: as deployed", temperature))
    errors, diagrams = [], []
    for title, each in drawn:
        confidences, is_right = points_at(each)
        errors.append(expected_calibration_error(confidences, is_right))
        description = (
            f"Reliability diagram at temperature {each:.2f}: expected calibration error "
            f"{errors[-1]:.3f}"
        )
        points = reliability(confidences, is_right)
        diagrams.append(charts.reliability_chart(title, points, description, x=axes[0], y=axes[1]))
    values = {
        "temperature": temperature,
        "before": errors[0],
        "after": errors[-1],
        "least": least_calibration_error(confidences),
        "diagrams": diagrams,
        "is_fitted": is_fitted,
        "explanation": explanation,
    }
    return Section("calibration", "Calibration", "calibration.html", values)
