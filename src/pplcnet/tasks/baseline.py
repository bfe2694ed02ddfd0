"""How good an answer is that looks at no image: what a network has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Guess", "best_guess", "gain_over"]


class Guess(NamedTuple):
    """Always the same answer."""

    label: str
    accuracy: float


def best_guess(classes: Sequence[str], counts: Sequence[int]) -> Guess:
    """The most frequent class, always; `counts` are the images of each class."""
    most = int(np.argmax(counts))
    return Guess(classes[most], counts[most] / max(1, sum(counts)))


def gain_over(guess: Guess, accuracy: float) -> float:
    """The part of the guess's mistakes that are gone: 0 for the guess itself, 1 for perfection."""
    return (accuracy - guess.accuracy) / (1 - guess.accuracy) if guess.accuracy < 1 else 0.0
