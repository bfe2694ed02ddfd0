"""The accuracy of guessing without looking at the image, which a network has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Guess", "best_guess", "gain_over"]


class Guess(NamedTuple):
    """A constant answer and its accuracy."""

    label: str
    accuracy: float


def best_guess(classes: Sequence[str], counts: Sequence[int]) -> Guess:
    """The most frequent class; `counts` are the images of each class."""
    most = int(np.argmax(counts))
    return Guess(classes[most], counts[most] / max(1, sum(counts)))


def gain_over(guess: Guess, accuracy: float) -> float:
    """The share of the guess's mistakes avoided: 0 for the guess itself, 1 for no mistakes."""
    return (accuracy - guess.accuracy) / (1 - guess.accuracy) if guess.accuracy < 1 else 0.0
