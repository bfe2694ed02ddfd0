"""Precision, recall and F1 from counts."""

from __future__ import annotations

__all__ = ["ratios_of"]


def ratios_of(
    right: int, answers: int, shown: int
) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1 of one class.

    A ratio without a denominator is None: the precision of a class that is never predicted, and
    recall and F1 of one that no image shows.

    Args:
        right: how many of the answers are right.
        answers: how often the class was predicted.
        shown: how many images show it.
    """
    return (
        right / answers if answers else None,
        right / shown if shown else None,
        2 * right / (answers + shown) if shown else None,
    )
