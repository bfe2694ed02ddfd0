"""Check that the values of a `manifest.json` have valid types and ranges."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

__all__ = ["CHECKSUM", "FILE_LIMIT", "check_values", "checksum_of", "is_plain"]

CHECKSUM = "checksum"
"""The key of a manifest's own checksum."""
FILE_LIMIT = 512 << 20
"""Largest size of a bundle's file; a catalog network with 20,000 classes has 130 MB."""
MAX_CLASSES = 100_000
MAX_NAME = 100
MAX_DEPTH = 32
MAX_OUTPUTS = 16
MAX_OUTPUT_NUMBERS = 1 << 28
# Ranges of decoder values, and of those per class; calibration tries temperatures of 0.05 to 20.
DECODING = {
    "temperature": (0.01, 100.0),
    "confidence": (0.0, 1.0),
    "score_threshold": (0.0, 1.0),
    "iou_threshold": (0.0, 1.0),
    "most": (1, 1_000_000),
}
DECODING_BY_CLASS = {"thresholds": (0.0, 1.0)}
OTHER_DECODING = (-1e9, 1e9)
MAX_THREADS = 4096
# JSON has no limit; no figure of a bundle needs more.
MAX_INTEGER = 1 << 63

KNOWN = {
    "format", "format_version", "task", "classes", "input", "outputs", "decoding",
    "preprocessing", "network", "variants", "provenance", "calibration", "tuning", "files",
}  # fmt: skip
PRECISIONS = ("float32", "bfloat16", "int8", "int8-bfloat16")
POLICIES = ("exact", "fast")


def checksum_of(values: Mapping[str, Any]) -> str:
    """sha256 of a manifest's values, independent of the text's layout."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def check_values(values: Mapping[str, Any]) -> None:
    """Raise ValueError, TypeError or KeyError for the first error in a parsed manifest.

    Args:
        values: in format 2.
    """
    unknown = sorted(set(values) - KNOWN)
    if unknown:
        raise ValueError(f"unknown key {unknown[0][:40]!r}")
    _check_depth_and_integers(values)
    classes = values["classes"]
    _check_classes(classes)
    _check_files(values["files"])
    _check_variants(values["variants"], values["files"])
    _check_preprocessing(values["preprocessing"])
    _check_task(values["task"])
    _check_input(values)
    _check_outputs(values["outputs"], len(classes))
    _check_decoding(values["decoding"], classes)
    _check_network(values["network"])
    _check_provenance(_dictionary(values["provenance"], "provenance"))
    _dictionary(values.get("calibration", {}), "calibration")
    for name, facts in _dictionary(values.get("tuning", {}), "tuning").items():
        _check_tuning(_dictionary(facts, f"the tuning for {name[:80]!r}"))


def _check_depth_and_integers(values: Any) -> None:
    level, depth = [values], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
            elif isinstance(each, int) and abs(each) >= MAX_INTEGER:
                raise ValueError("an integer of more than 64 bits")
        level, depth = inner, depth + 1


def _check_classes(classes: Any) -> None:
    if not isinstance(classes, list) or not 0 < len(classes) <= MAX_CLASSES:
        raise ValueError(f"classes must be a list of 1 to {MAX_CLASSES:,} names")
    seen: set[str] = set()
    for name in classes:
        if not isinstance(name, str) or not name:
            raise TypeError(f"classes must be names, not {str(name)[:40]!r}")
        if not name.isprintable() and any(_is_control(each) for each in name):
            raise ValueError(f"the class name {name[:40]!a} has control characters")
        if name in seen:
            raise ValueError(f"the class {name[:40]!r} appears twice")
        seen.add(name)


def _is_control(character: str) -> bool:
    """Whether it is a control character, half of a surrogate pair, or a line separator."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _check_files(files: Any) -> None:
    for name, facts in _dictionary(files, "files").items():
        if not is_plain(name):
            raise TypeError(f"file name {name[:80]!r}")
        digest = _dictionary(facts, f"files {name!r}")["sha256"]
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise TypeError(f"the sha256 of {name!r} is {str(digest)[:80]!r}")
        if not _is_integer(facts["bytes"]) or not 0 <= facts["bytes"] <= FILE_LIMIT:
            raise ValueError(
                f"{name!r} is said to have {str(facts['bytes'])[:40]} bytes; allowed are up to "
                f"{FILE_LIMIT:,}"
            )


def is_plain(name: object) -> bool:
    """Whether a file name stays inside the bundle's folder on any system."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or name == "manifest.json":
        return False
    return name[0] != "." and name.isprintable() and not set(name) & set('\\/:"*?<>|')


def _check_variants(variants: Any, files: Mapping[str, Any]) -> None:
    for name, variant in _dictionary(variants, "variants").items():
        if _dictionary(variant, f"variant {name[:40]!r}")["file"] not in files:
            raise KeyError(f"variant {name[:40]!r} names a file that is not listed")
        batch = variant.get("batch")
        if batch is not None and not (_is_integer(batch) and 1 <= batch <= 1 << 16):
            raise ValueError(f"variant {name[:40]!r} has the batch {str(batch)[:40]!r}")
        _dictionary(variant.get("figures", {}), f"the figures of variant {name[:40]!r}")
        if variant.get("precision", "float32") not in PRECISIONS:
            raise ValueError(
                f"variant {name[:40]!r} has the precision {str(variant['precision'])[:40]!r}"
            )


def _check_preprocessing(values: Any) -> None:
    sides = _dictionary(values, "preprocessing")["image_size"]
    if not isinstance(sides, list) or len(sides) != 2 or not all(map(_is_integer, sides)):
        raise TypeError(f"image_size is {str(sides)[:40]}; it must be two whole numbers")
    _check_number(values.get("crop_fraction", 1.0), 0, 1, "crop_fraction")
    for name in ("mean", "std"):
        for each in values.get(name, ()):
            _check_number(each, -1e3, 1e3, name)
    for each in values.get("std", ()):
        _check_number(each, 1e-6, 1e3, "std")


def _check_task(task: Any) -> None:
    if not isinstance(task, str) or not re.fullmatch("[a-z][a-z0-9_]{0,39}", task):
        raise ValueError(f"task {str(task)[:40]!r}")


def _check_input(values: Mapping[str, Any]) -> None:
    height, width = values["preprocessing"]["image_size"]
    expected = {"shape": ["N", height, width, 3], "dtype": "uint8", "meaning": "RGB"}
    if values.get("input", expected) != expected:
        raise ValueError("its input does not fit its image_size")


def _check_outputs(outputs: Any, classes: int) -> None:
    if not isinstance(outputs, list) or not 1 <= len(outputs) <= MAX_OUTPUTS:
        raise ValueError(f"outputs must be a list of 1 to {MAX_OUTPUTS}")
    seen: set[str] = set()
    for output in outputs:
        name = _dictionary(output, "an output")["name"]
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][\w.]{0,99}", name, re.ASCII):
            raise ValueError(f"an output has the name {str(name)[:40]!r}")
        if name in seen:
            raise ValueError(f"the output {name!r} appears twice")
        seen.add(name)
        shape = output["shape"]
        if not isinstance(shape, list) or not 2 <= len(shape) <= 6 or shape[0] != "N":
            raise ValueError(f"the output {name!r} has the shape {str(shape)[:40]}")
        if not all(_is_integer(each) and each >= 1 for each in shape[1:]):
            raise ValueError(f"the output {name!r} has the shape {str(shape)[:40]}")
        if math.prod(shape[1:]) > MAX_OUTPUT_NUMBERS or output.get("dtype") != "float32":
            raise ValueError(f"the output {name!r} is too large, or not float32")
        # For the image, or for each place in it (N, h, w, classes).
        if name == "logits" and (shape[-1] != classes or len(shape) not in (2, 4)):
            raise ValueError("its output does not fit its classes")


def _check_decoding(decoding: Any, classes: list[str]) -> None:
    """Each value is a number, text or boolean, or a number for each of some classes."""
    names = set(classes)
    for key, value in _dictionary(decoding, "decoding").items():
        if key in DECODING_BY_CLASS or (isinstance(value, dict) and key not in DECODING):
            low, high = DECODING_BY_CLASS.get(key, OTHER_DECODING)
            what = f"the {key[:40].removesuffix('s')}"
            for name, each in _dictionary(value, key[:40]).items():
                if name not in names:
                    raise ValueError(f"{what} of {name[:40]!r}, which is no class")
                _check_number(each, low, high, f"{what} of {name[:40]!r}")
        elif key in DECODING or not isinstance(value, str | bool):
            _check_number(value, *DECODING.get(key, OTHER_DECODING), key[:40])


def _check_network(network: Any) -> None:
    name = _dictionary(network, "network").get("name")
    if not isinstance(name, str):
        raise TypeError(f"the network's name is {str(name)[:40]!r}")
    _dictionary(network.get("options", {}), "the network's options")


def _check_provenance(provenance: Mapping[str, Any]) -> None:
    """Check the parts that reports and other verbs read; anything else is only shown."""
    for name in ("dataset", "recipe", "versions", "weights"):
        if provenance.get(name) is not None:
            _dictionary(provenance[name], f"the provenance's {name}")
    data = provenance.get("dataset") or {}
    for owner, name in ((provenance, "run"), (data, "photos"), (data, "digest")):
        if not isinstance(owner.get(name), str | None):
            raise TypeError(f"the provenance's {name} is {str(owner[name])[:40]!r}, not text")


def _check_tuning(facts: Mapping[str, Any]) -> None:
    if facts.get("policy", "exact") not in POLICIES:
        raise ValueError(f"tuning with the resize policy {str(facts['policy'])[:40]!r}")
    ranking = facts["ranking"]
    if not isinstance(ranking, list):
        raise TypeError("a tuning table that is not a list")
    for row in ranking:
        _dictionary(row, "a row of a tuning table")
        for key in ("variant", "engine", "precision"):
            if not isinstance(row.get(key), str):
                raise TypeError(f"a row of a tuning table has no {key!r}")
        threads = row.get("threads")
        if not _is_integer(threads) or not 0 <= threads <= MAX_THREADS:
            raise ValueError(f"a row of a tuning table has {str(threads)[:40]} threads")


def _dictionary(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be an object of names and values")
    return value


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _check_number(value: Any, low: float, high: float, name: str) -> None:
    is_number = type(value) in (int, float) and math.isfinite(value)
    if not is_number or not low <= value <= high:
        raise ValueError(f"{name} is {str(value)[:40]}; it must be a number from {low} to {high}")
