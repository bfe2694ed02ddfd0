"""The facts stored in a checkpoint, read and checked without Keras."""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError
from pplcnet.training.history import are_history_columns

__all__ = ["FACTS", "check_facts", "damaged", "read_arrays", "read_facts"]

FACTS = "facts"
FACTS_LIMIT = 64 << 20
# The arguments that a network is built with, besides its options.
_NOT_OPTIONS = {"classes", "image_size", "name", "num_classes"}
_KINDS: dict[str, type | tuple[type, ...]] = {
    "epoch": int, "step": int, "best_epoch": int, "loss_sum": (int, float),
    "metric_sums": dict, "best_score": (int, float), "best_loss": (int, float), "history": list,
    "options": dict,
}  # fmt: skip


def read_facts(path: Path) -> dict[str, Any]:
    """Everything in a checkpoint except its arrays; InputError when it is damaged."""
    return check_facts(path, read_arrays(path, only=FACTS))


def read_arrays(path: Path, *, only: str | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a checkpoint, or only the one called `only`; InputError when it is damaged.

    Checkpoints are not compressed, so the arrays are never larger than the file.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if only in (None, _name(m))]
            stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
            if not stored or sum(m.file_size for m in members) > size:
                raise ValueError("it claims more bytes than the file has")
            if only and any(m.file_size > FACTS_LIMIT for m in members):
                raise ValueError(f"{only} is larger than {FACTS_LIMIT:,} bytes")
            return {_name(each): _array(archive.read(each)) for each in members}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (
        zipfile.BadZipFile, ValueError, TypeError, KeyError, EOFError, NotImplementedError,
        RuntimeError, OverflowError, SyntaxError, MemoryError, tokenize.TokenError,
    ) as error:  # fmt: skip
        raise damaged(path, error) from error


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _array(content: bytes) -> NDArray[Any]:
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array of an unknown format version")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    rest = content[stream.tell() :]
    if dtype.kind not in "fiub" or any(side < 0 for side in shape):
        raise ValueError(f"an array of type {dtype} and shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError(f"an array of shape {shape} in {len(rest)} bytes")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if is_fortran else "C")


def check_facts(path: Path, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The facts among a checkpoint's arrays; InputError when they cannot belong to a run."""
    try:
        facts = _renamed(json.loads(arrays[FACTS].tobytes()))
        wrong = [name for name, kind in _KINDS.items() if not _is_a(facts.get(name), kind)]
        if not _is_a(facts.get("run"), (str, type(None))):
            wrong.append("run")
        if not _is_a(facts.get("adapted", {}), dict):  # version 0.2 has none
            wrong.append("adapted")
        if wrong:
            raise ValueError(f"{', '.join(wrong)} is missing or of the wrong type")
        _check_progress(facts)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    return dict(facts)


def _renamed(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts of version 0.1, which called every measure accuracy, under today's names."""
    if "best_accuracy" not in facts:
        return facts
    kept = {**facts, "best_score": facts["best_accuracy"]}
    kept["metric_sums"] = {"accuracy": kept.pop("accuracy_sum")}
    del kept["best_accuracy"]
    return kept


def _is_a(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _check_progress(facts: dict[str, Any]) -> None:
    epoch, history = facts["epoch"], facts["history"]
    if len(history) != epoch or not 0 <= facts["step"] < 2**53:
        raise ValueError("its epoch, step and history do not go together")
    if not -1 <= facts["best_epoch"] < epoch:
        raise ValueError(f"its best epoch is {facts['best_epoch']} of {epoch}")
    if set(facts["options"]) & _NOT_OPTIONS:
        raise ValueError(f"its network has the options {sorted(facts['options'])}")
    if not all(_is_a(each, (int, float)) for each in facts["metric_sums"].values()):
        raise ValueError("its metrics are not numbers")
    for number, row in enumerate(history, 1):
        columns = tuple(row) == tuple(history[0]) and are_history_columns(tuple(row))
        if not columns or not all(_is_a(each, (int, float)) for each in row.values()):
            raise ValueError(f"row {number} of its history is of another kind")
        if row["epoch"] != number:
            raise ValueError(f"row {number} of its history is of epoch {row['epoch']}")


def damaged(path: Path, error: Exception) -> InputError:
    """The error for a file that is no checkpoint, or not one of this version."""
    reason = str(error) or type(error).__name__
    return InputError(
        f"{path}: is damaged, or of another version ({reason[:200]}); restore a good copy, or "
        "start over with --overwrite."
    )
