"""Convert manifests of format 1, written by pplcnet 0.1, to format 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["to_format_2"]

KNOWN = {
    "format", "format_version", "classes", "task", "thresholds", "input", "output",
    "preprocessing", "network", "variants", "provenance", "calibration", "tuning", "files",
}  # fmt: skip
TASKS = {"single": "classification", "multi": "multilabel"}
WITHOUT_THRESHOLDS = ("single",)
# Figures of a variant that training and evaluation stored beside its file: "test_top1".
SPLITS = ("validation", "test")


def to_format_2(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a parsed manifest to format 2; it must still be checked like any other.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is not in format 1.
    """
    unknown = sorted(set(values) - KNOWN)
    if unknown:
        raise ValueError(f"unknown key {unknown[0][:40]!r}")
    task = values.get("task", "single")
    if not isinstance(task, str) or task not in TASKS:
        raise ValueError(f"task {str(task)[:40]!r}")
    thresholds = values.get("thresholds", {})
    if thresholds and task in WITHOUT_THRESHOLDS:
        raise ValueError(f"task {task!r} with thresholds")
    logits = {"shape": ["N", len(values["classes"])], "meaning": "logits"}
    if values.get("output", logits) != logits:
        raise ValueError("its output does not fit its classes")
    calibration = values.get("calibration", {})
    decoding = {"temperature": calibration["temperature"]} if "temperature" in calibration else {}
    kept = {name: each for name, each in values.items() if name not in ("thresholds", "output")}
    return {
        **kept,
        "format_version": 2,
        "task": TASKS[task],
        "outputs": [{"name": "logits", "shape": logits["shape"], "dtype": "float32"}],
        "decoding": {**decoding, **({"thresholds": thresholds} if thresholds else {})},
        "variants": {name: _variant(each) for name, each in values["variants"].items()},
    }


def _variant(variant: Mapping[str, Any]) -> dict[str, Any]:
    """A variant with its figures grouped by split, and its parity by output."""
    figures: dict[str, dict[str, Any]] = {}
    kept: dict[str, Any] = {}
    for key, value in variant.items():
        split, _, name = key.partition("_")
        if split in SPLITS and name:
            figures.setdefault(split, {})[name] = value
        else:
            kept[key] = value
    if "parity" in kept:
        kept["parity"] = _parity(kept["parity"])
    return {**kept, **({"figures": figures} if figures else {})}


def _parity(parity: Any) -> Any:
    if not isinstance(parity, dict):
        return parity
    agreement = parity.get("top1_agreement", parity.get("labels_agreement"))
    if agreement is None:
        return parity
    logits = {
        "largest_difference": parity["largest_logit_difference"],
        "largest": parity.get("largest_logit", math.nan),
    }
    return {"images": parity["images"], "outputs": {"logits": logits}, "agreement": agreement}
