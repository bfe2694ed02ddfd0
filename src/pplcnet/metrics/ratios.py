"""Precision, recall and F1 from counts."""

from __future__ import annotations

__all__ = ["ratios_of"]


def ratios_of(
    right: int, answers: int, shown: int
) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1 of one class.

    A ratio without a denominator is None: precision for a class that is never predicted, recall and
    F1 for one that no image shows.

    Args:
        right: the number of right answers.
        answers: the number of predictions of the class.
        shown: the number of images that show it.
    """
    return (
        right / answers if answers else None,
        right / shown if shown else None,
        2 * right / (answers + shown) if shown else None,
    )
