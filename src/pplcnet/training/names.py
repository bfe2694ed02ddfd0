"""What a run's folder holds, by name; read without Keras."""

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
