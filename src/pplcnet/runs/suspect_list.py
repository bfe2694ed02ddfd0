"""The list of suspects, and the check that the networks are good enough to make one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pplcnet.errors import InputError
from pplcnet.runs.files import SUSPECT_LIST
from pplcnet.system.files import write_csv
from pplcnet.tasks.baseline import Guess, gain_over

__all__ = ["COLUMNS", "Suspect", "SuspectList", "check_strength", "write_suspects"]

LEAST_GAIN, GOOD_GAIN = 0.5, 0.8
"""Fractions of a guess's mistakes that the networks must avoid. Below the first, most of the list
would be the networks' own mistakes, and none is written. Below the second, the list comes with a
warning. (For two classes of equal size, accuracies of 0.75 and 0.9.)"""
COLUMNS = ("path", "label", "suggested", "confidence_in_label", "confidence_in_suggested")


class Suspect(NamedTuple):
    """A photo whose label is probably wrong, according to a network trained on other photos."""

    path: Path
    name: str
    """Relative to the data set's folder."""
    label: str
    suggested: str
    """The most probable class, according to a network that was not trained on the photo."""
    confidence_in_label: float
    """Calibrated probability of the label, 0 to 1."""
    confidence_in_suggested: float
    """Calibrated probability of the suggestion, 0 to 1."""


class SuspectList(NamedTuple):
    """The most suspicious first."""

    suspects: tuple[Suspect, ...]
    photos: int
    """How many photos were judged."""
    path: Path
    """The list as a CSV file, with absolute paths."""
    folds: tuple[float, ...]
    """For each fold, the fraction of its photos whose label its network agrees with."""
    guess: Guess
    """The baseline that always answers the most frequent class, and its accuracy."""

    @property
    def accuracy(self) -> float:
        """The mean over the folds."""
        return sum(self.folds) / len(self.folds)

    def accuracies(self) -> list[str]:
        """The folds' accuracy in words, with a warning where it is low."""
        lines = [f"accuracy    {_percentages(self.folds)}"]
        if gain_over(self.guess, self.accuracy) < GOOD_GAIN:
            lines.append(
                f"warning     the networks disagree with {1 - self.accuracy:.0%} of the labels; if "
                "fewer are really wrong, the rest of the list is their own mistakes. Better "
                "networks make a better list (--weights imagenet, more --epochs, --overwrite)"
            )
        return lines


def check_strength(out: Path, folds: Sequence[float], guess: Guess) -> None:
    """InputError when the networks are too weak to judge labels."""
    if gain_over(guess, sum(folds) / len(folds)) < LEAST_GAIN:
        (out / SUSPECT_LIST).unlink(missing_ok=True)
        raise InputError(
            f"the networks are too weak to judge labels: accuracy {_percentages(folds)}, and "
            f"always answering {guess.label!r} gets {guess.accuracy:.0%}. No list was written; "
            "start over with --overwrite and better networks: --weights imagenet, more --epochs, "
            "or a larger --model."
        )


def _percentages(folds: Sequence[float]) -> str:
    listed = ", ".join(f"{each:.0%}" for each in folds)
    return f"{sum(folds) / len(folds):.0%} on photos not trained on (folds: {listed})"


def write_suspects(suspects: Sequence[Suspect], path: Path) -> None:
    """The list as a CSV file, with absolute paths."""
    rows = [
        [
            each.path.resolve(),
            each.label,
            each.suggested,
            each.confidence_in_label,
            each.confidence_in_suggested,
        ]
        for each in suspects
    ]
    write_csv(path, COLUMNS, rows, decimals=4)
