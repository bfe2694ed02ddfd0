"""The folder of a run: what stands in it, and whether it may be begun, resumed or thrown away."""

from __future__ import annotations

import csv
import json
import shutil
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.auditing import Audit, Unlabelled
from pplcnet.bundle import Bundle
from pplcnet.errors import BundleError, InputError, RecipeError
from pplcnet.training.places import BUNDLE, CHECKPOINT, SEARCH_TRIALS
from pplcnet.training.recipe import Recipe
from pplcnet.writable import check_writable

__all__ = [
    "RECIPE",
    "RUN",
    "check_folder",
    "check_same",
    "finished_bundle",
    "refuse_to_delete",
    "run_facts",
    "start_folder",
    "write_skipped",
]

RECIPE = "recipe.toml"
RUN = "run.json"


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


def refuse_to_delete(out: Path, needed: list[Path]) -> None:
    """InputError when throwing `out` away would throw away what the run reads."""
    for each in needed:
        if each.resolve().is_relative_to(out.resolve()):
            raise InputError(
                f"{out}: --overwrite would delete {each}, which the run needs; take another."
            )


def start_folder(out: Path, recipe: Recipe, run: dict[str, Any], overwrite: bool) -> None:
    """Write what the run is made with; with `overwrite`, throw an older run away first."""
    if overwrite and (out / RUN).is_file():
        shutil.rmtree(out)
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
    }


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


def write_skipped(checked: Audit, path: Path, unlabelled: Unlabelled | None = None) -> None:
    """A CSV of what the audit had left out; nothing where it had no fault."""
    rows = [
        [checked.dataset.name_of(image), fault.kind, fault.text]
        for fault in checked.faults
        for image in fault.left_out
    ]
    broken = unlabelled.broken if unlabelled else ()
    rows += [[error.source, "unreadable", f"without a class; {error.reason}"] for error in broken]
    if not checked.faults and not broken:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "kind", "reason"])
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
