"""The names of a run's files, so that others in its folder are left alone; and its run.json."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pplcnet.bundle.bundle import STAGED, Bundle
from pplcnet.bundle.manifest import MANIFEST
from pplcnet.bundle.writing import NEW_MANIFEST, REMOVING
from pplcnet.errors import BundleError, InputError
from pplcnet.system.locking import LOCK_FILE
from pplcnet.training.names import (
    BUNDLE,
    CHECKPOINT,
    HISTORY,
    SEARCH,
    SEARCH_BEST,
    SEARCH_TRIALS,
    TENSORBOARD,
)

__all__ = [
    "EVALUATION",
    "PROBABILITIES",
    "RECIPE",
    "REPORT",
    "RUN",
    "SKIPPED",
    "SPLIT",
    "SUSPECTS",
    "SUSPECT_LIST",
    "TRAIN",
    "fold_name",
    "holds_something",
    "names_in",
    "planned_names",
    "read_run",
    "remove_leftovers",
    "remove_own",
]

TRAIN, SUSPECTS = "train", "suspects"
"""The kinds of runs; distillation is a run of the kind "train"."""
RECIPE, RUN, SPLIT, SKIPPED = "recipe.toml", "run.json", "split.csv", "skipped.csv"
EVALUATION, REPORT = "evaluation", "report.html"
SUSPECT_LIST, PROBABILITIES = "suspects.csv", "probabilities.npz"
SUSPECT_FILES = (SUSPECT_LIST, PROBABILITIES)

_TRAIN_NAMES = (
    RECIPE, SPLIT, SKIPPED, CHECKPOINT, HISTORY, SEARCH, BUNDLE, EVALUATION, REPORT, TENSORBOARD,
)  # fmt: skip
_FOLD = re.compile(r"fold-[1-9]\d{0,5}")
_TRIAL = re.compile(r"trial-[1-9]\d{0,5}")
# A file that a killed process was still writing.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.\d+\.writing")
# Files inside the folders that a run creates.
_IN_TRAINING = {CHECKPOINT, HISTORY, BUNDLE, TENSORBOARD, "checkpoint.writing", "history.writing"}
_IN_EVALUATION = {
    "evaluation.md", "evaluation.json", "per_class.csv", "per_label.csv", "confusion.csv",
    "mistakes.csv", "confusion.png", "labels.png",
}  # fmt: skip
_IN_SEARCH = {Path(SEARCH_BEST).name, Path(SEARCH_TRIALS).name, "best.writing"}
RUN_LIMIT = 8 << 20
_NETWORKS = {".onnx", ".npz", ".tflite", ".xml", ".bin", ".keras"}


def fold_name(fold: int) -> str:
    """The name of the folder of a fold's run; folds count from 0."""
    return f"fold-{fold + 1}"


def planned_names(kind: str, *, folds: int = 0, extra: Iterable[str] = ()) -> list[str]:
    """Names that every run of this kind writes into its folder, plus this run's `extra` ones."""
    if kind == SUSPECTS:
        return [RUN, RECIPE, *SUSPECT_FILES, *map(fold_name, range(folds)), *extra]
    return [RUN, RECIPE, SPLIT, CHECKPOINT, HISTORY, BUNDLE, EVALUATION, REPORT, *extra]


def names_of(run: dict[str, Any]) -> list[str]:
    """Names in its folder that a run has written or may have written; `run` is its run.json.

    Names that no run writes are ignored. Runs from before the list existed, and damaged ones, get
    all names of their kind.
    """
    listed = run.get("writes")
    if isinstance(listed, list):
        names = [each for each in listed if isinstance(each, str) and _is_known(each)]
        return list(dict.fromkeys([RUN, *names]))
    kind = run.get("kind")
    names = [RUN, RECIPE, SKIPPED]
    if kind != SUSPECTS:
        names += _TRAIN_NAMES
    if kind != TRAIN:
        names += [*SUSPECT_FILES, *map(fold_name, range(100))]
    return list(dict.fromkeys(names))


def read_run(out: Path) -> dict[str, Any] | None:
    """The run.json in `out`, None if there is none; InputError when it is damaged."""
    path = out / RUN
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > RUN_LIMIT:
            raise ValueError(f"it has more than {RUN_LIMIT:,} bytes")
        run = json.loads(path.read_text(encoding="utf-8"))
        _check_facts(run)
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)[:200]
        raise InputError(
            f"{path}: is damaged ({reason or 'nested too deeply'}). The run cannot be resumed; "
            "--overwrite starts it over."
        ) from error
    if run.get("kind") not in (TRAIN, SUSPECTS):
        run["kind"] = SUSPECTS if "folds" in run["recipe"] else TRAIN
    return dict(run)


def _check_facts(run: Any) -> None:
    """KeyError or TypeError for facts that are missing from a run.json or of the wrong type."""
    if not isinstance(run, dict) or not isinstance(run["recipe"], dict):
        raise TypeError("it has no recipe")
    if not isinstance(run["digest"], str) or not isinstance(run["photos"], str):
        raise TypeError("digest and photos must be text")
    if not all(isinstance(run.get(name), str | None) for name in ("id", "teacher", "study")):
        raise TypeError("id, teacher and study must be text")
    if not isinstance(run.get("search"), int | float | None):
        raise TypeError("search must be a number")
    if not isinstance(run["recipe"].get("folds", 0), int):
        raise TypeError("folds must be a whole number")
    left_out = run.get("left_out", [])
    if not isinstance(left_out, list) or not all(isinstance(each, str) for each in left_out):
        raise TypeError("left_out must be names")


def names_in(out: Path) -> list[str]:
    """Names that the run in `out` has written or may have written; empty without a run.json."""
    try:
        run = read_run(out)
    except InputError:
        return names_of({})
    return [] if run is None else names_of(run)


def _is_known(name: str) -> bool:
    return name in (RUN, *_TRAIN_NAMES, *SUSPECT_FILES) or bool(_FOLD.fullmatch(name))


def holds_something(out: Path) -> bool:
    """Whether a run is finished or got far enough to be resumed."""
    names = (CHECKPOINT, BUNDLE, SEARCH_TRIALS, f"fold-1/{CHECKPOINT}", f"fold-1/{BUNDLE}")
    return any((out / each).exists() for each in names)


def remove_leftovers(out: Path, names: Iterable[str]) -> None:
    """Delete the half-written files of killed processes; needs the folder's lock."""
    names = set(names)
    for each in out.iterdir():
        found = _LEFTOVER.fullmatch(each.name)
        if found and found["name"] in names and each.is_file():
            each.unlink()
    for folder in (out / SEARCH, out / EVALUATION, *out.glob("fold-*")):
        if folder.is_dir() and (folder.name in names):
            for each in folder.iterdir():
                if _LEFTOVER.fullmatch(each.name) and each.is_file():
                    each.unlink()


def remove_own(path: Path) -> None:
    """Delete what a run wrote at `path`; other files inside it stay, and so do their folders."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # List all before deleting the first: a bundle's manifest says which files are its own.
    for each in _own_inside(path):
        if each.is_dir() and not each.is_symlink():
            remove_own(each)
        else:
            each.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other files are left inside
        path.rmdir()


def _own_inside(folder: Path) -> list[Path]:
    """The files that a run has written into one of its folders."""
    is_own = _is_own_in(folder)
    return [
        each for each in folder.iterdir() if is_own(each.name) or _LEFTOVER.fullmatch(each.name)
    ]


def _is_own_in(folder: Path) -> Callable[[str], bool]:
    """A predicate for the names in one of a run's folders that are the run's own."""
    if folder.name == BUNDLE:
        own = _bundle_names(folder)
        return lambda name: name in own or bool(STAGED.fullmatch(name))
    if folder.name == EVALUATION:
        return _IN_EVALUATION.__contains__
    if folder.name == TENSORBOARD:
        return lambda name: name.startswith("events.out.tfevents.")
    if folder.name == SEARCH:
        return lambda name: name in _IN_SEARCH or bool(_TRIAL.fullmatch(name))
    return _IN_TRAINING.__contains__  # a fold or a trial


def _bundle_names(folder: Path) -> set[str]:
    try:
        found = set(Bundle.open(folder).manifest.files)
    except BundleError:  # damaged: recognise the networks by their extensions
        found = {each.name for each in folder.iterdir() if each.suffix in _NETWORKS}
    return {MANIFEST, NEW_MANIFEST, REMOVING, LOCK_FILE, *found}
