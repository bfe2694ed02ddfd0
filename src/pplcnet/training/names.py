"""Names of the files that training writes into a run's folder.

They are kept apart from the code that writes the files, because the command line's help and the
reader of a run's folder need them without waiting for numpy or Keras.
"""

from __future__ import annotations

__all__ = [
    "BUNDLE",
    "CHECKPOINT",
    "HISTORY",
    "SEARCH",
    "SEARCH_BEST",
    "SEARCH_TRIALS",
    "TENSORBOARD",
]

BUNDLE = "model.bundle"
CHECKPOINT = "checkpoint.npz"
HISTORY = "history.csv"
SEARCH = "search"
SEARCH_BEST = "search/best.toml"
SEARCH_TRIALS = "search/trials.log"
TENSORBOARD = "tensorboard"
