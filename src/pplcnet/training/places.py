"""What a run's folder holds, by name; read without Keras."""

from __future__ import annotations

__all__ = ["BUNDLE", "CHECKPOINT", "HISTORY"]

BUNDLE = "model.bundle"
CHECKPOINT = "checkpoint.npz"
HISTORY = "history.csv"
