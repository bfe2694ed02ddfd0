"""The folder of a run: what stands in it, and whether it may be begun, resumed or thrown away."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from hashlib import sha256
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

from pplcnet.auditing import Audit, Unlabelled
from pplcnet.bundle import Bundle
from pplcnet.csv_cells import CsvWriter
from pplcnet.errors import BundleError, InputError, RecipeError, TrainingInterrupted
from pplcnet.training.places import BUNDLE, CHECKPOINT, HISTORY, SEARCH, SEARCH_TRIALS
from pplcnet.training.recipe import Recipe
from pplcnet.writable import check_writable

__all__ = [
    "RECIPE",
    "RUN",
    "check_folder",
    "check_place",
    "check_same",
    "finished_bundle",
    "refuse_to_delete",
    "run_facts",
    "set_aside",
    "start_folder",
    "stops_resumable",
    "write_skipped",
]

RECIPE = "recipe.toml"
RUN = "run.json"
REPLACED = "replaced-run"
# What a run writes, and so all that --overwrite takes away.
WRITTEN = (
    RECIPE, RUN, "split.csv", "skipped.csv", CHECKPOINT, HISTORY, SEARCH, BUNDLE, "evaluation",
    "report.html", "tensorboard", "fold-*", "suspects.csv", "probabilities.npz", REPLACED,
)  # fmt: skip


def check_place(out: Path, photos: str | PathLike[str], recipe: Recipe) -> None:
    """InputError when what a run writes to `out` would be found among the photos."""
    for each in (photos, recipe.unlabelled):
        if each and Path(each).is_dir() and out.resolve().is_relative_to(Path(each).resolve()):
            raise InputError(
                f"{out}: lies in the photos' folder {each}, where it would be taken for photos; "
                "take another --out."
            )


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """InputError: `out` is in use, holds nothing to resume, or cannot be written to."""
    # A run that failed before its first epoch left nothing that could be lost.
    holds_run = (out / RUN).is_file() and any(
        (out / each).exists() for each in (CHECKPOINT, BUNDLE, SEARCH_TRIALS)
    )
    if resume and not (out / RUN).is_file():
        raise InputError(f"{out}: no run to resume there; leave --resume out to start one.")
    if not resume and not overwrite and holds_run:
        raise InputError(
            f"{out}: holds a run already; --resume goes on with it, --overwrite throws it away, "
            "another --out leaves it alone."
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out needs a folder.")
    check_writable(out)


def refuse_to_delete(out: Path, needed: Iterable[Path]) -> None:
    """InputError when throwing away the run in `out` would throw away what the new one reads."""
    written = [each.resolve() for each in _written(out)]
    for each in needed:
        if any(each.resolve().is_relative_to(place) for place in written):
            raise InputError(
                f"{out}: --overwrite would delete {each}, which the run needs; take another."
            )


def _written(out: Path) -> list[Path]:
    return [place for name in WRITTEN for place in out.glob(name)] if out.is_dir() else []


@contextlib.contextmanager
def set_aside(out: Path) -> Iterator[None]:
    """Within, what an older run wrote to `out` is out of the way; afterwards it is thrown away.

    It comes back when the new run fails before it has anything to lose. Other files stay.
    """
    aside = out / REPLACED
    _bring_back(out, aside)  # of a process that was killed in here
    if (out / RUN).is_file():
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        _move(out, aside)
    try:
        yield
    except BaseException as error:
        is_back = _bring_back(out, aside)
        if is_back and isinstance(error, TrainingInterrupted):
            raise KeyboardInterrupt from error  # the new run cannot be resumed
        raise
    finally:
        if _has_something(out):
            shutil.rmtree(aside, ignore_errors=True)


def _bring_back(out: Path, aside: Path) -> bool:
    if _has_something(out) or not aside.is_dir():
        return False
    for each in _written(out):
        if each != aside:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    _move(aside, out)
    aside.rmdir()
    return True


def _move(source: Path, target: Path) -> None:
    for each in _written(source):
        if each != target:
            each.rename(target / each.name)


def _has_something(out: Path) -> bool:
    """Whether a run has come so far that it could be resumed, or is finished."""
    places = (CHECKPOINT, BUNDLE, SEARCH_TRIALS, f"fold-1/{CHECKPOINT}", f"fold-1/{BUNDLE}")
    return any((out / each).exists() for each in places)


@contextlib.contextmanager
def stops_resumable(out: Path) -> Iterator[None]:
    """Within, Ctrl-C outside of the epochs is a TrainingInterrupted as one within them is."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not (out / RUN).is_file():
            raise
        kept = (
            "what was trained is saved"
            if _has_something(out)
            else "the first epoch was not done yet, so that it begins anew"
        )
        raise TrainingInterrupted(f"stopped; {kept}.", run=str(out)) from stopped


def start_folder(out: Path, recipe: Recipe, run: dict[str, Any]) -> None:
    """Write what the run is made with."""
    out.mkdir(parents=True, exist_ok=True)
    (out / RECIPE).write_text(recipe.to_toml(), encoding="utf-8")
    (out / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def run_facts(
    photos: str | PathLike[str],
    checked: Audit,
    recipe: Recipe,
    unlabelled: Unlabelled | None = None,
) -> dict[str, Any]:
    """What has to be the same for a run to go on, and where the photos were."""
    digest = checked.digest
    if unlabelled is not None:
        digest = sha256((digest + unlabelled.digest).encode()).hexdigest()
    return {
        "photos": str(Path(photos).resolve()),
        "digest": digest,
        "recipe": recipe.to_dict(),
        "teacher": _digest_of_network(recipe.teacher),
    }


def _digest_of_network(teacher: str | None) -> str | None:
    """sha256 of a teacher's weights, whatever was measured on it since; None without one."""
    if teacher is None or not Path(teacher).exists():
        return None
    path = Path(teacher)
    if path.is_file():
        return sha256(path.read_bytes()).hexdigest()
    manifest = Bundle.open(path).manifest
    files = {str(v["file"]) for name, v in manifest.variants.items() if name in ("keras", "onnx")}
    digests = [str(manifest.files[name]["sha256"]) for name in sorted(files)]
    return sha256("".join(digests).encode()).hexdigest()


def check_same(out: Path, run: dict[str, Any]) -> None:
    """InputError, RecipeError: the run in `out` was of other photos, or by another recipe."""
    try:
        before = json.loads((out / RUN).read_text(encoding="utf-8"))
        recipe, digest = dict(before["recipe"]), str(before["digest"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{out / RUN}: is damaged ({error!r}); the run cannot be resumed, --overwrite starts "
            "it anew."
        ) from error
    changed = [
        f"{name} was {recipe.get(name)!r}, is {value!r}"
        for name, value in run["recipe"].items()
        if recipe.get(name) != value
    ]
    if changed:
        raise RecipeError(f"{out}: a resumed run keeps its recipe, but:", changed)
    if digest != run["digest"]:
        raise InputError(
            f"{out}: the photos are not those that the run began with (digest "
            f"{digest[:12]}, now {run['digest'][:12]}); start a new run."
        )
    if before.get("teacher") != run["teacher"]:
        raise InputError(
            f"{run['recipe']['teacher']}: is not the teacher that the run began with any more; "
            "put that one back, or start a new run."
        )


def write_skipped(checked: Audit, path: Path, unlabelled: Unlabelled | None = None) -> None:
    """A CSV of what the audit had left out; nothing where it had no fault."""
    rows = [
        [PurePosixPath(checked.dataset.name_of(image)), fault.kind, fault.text]
        for fault in checked.faults
        for image in fault.left_out
    ]
    broken = unlabelled.broken if unlabelled else ()
    rows += [
        [PurePosixPath(error.source), "unreadable", f"without a class; {error.reason}"]
        for error in broken
    ]
    if not checked.faults and not broken:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file, ["path", "kind", "reason"])
        writer.writerows(rows)


def finished_bundle(out: Path) -> Bundle | None:
    """The bundle of a run that has nothing left to train or export; None for any other.

    Calibration is the last that a run does to its networks; runs of before there was any have the
    figures of the evaluation.
    """
    try:
        bundle = Bundle.open(out / BUNDLE)
        bundle.verify()
    except BundleError:
        return None
    onnx = bundle.manifest.variants.get("onnx")
    if onnx is None:
        return None
    is_calibrated = bool(bundle.manifest.calibration)
    return bundle if is_calibrated or {"test_top1", "validation_top1"} & set(onnx) else None
