"""The folder of a run: whether it may be begun or resumed, and what belongs to it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.audit import Audit, Unlabelled
from pplcnet.errors import BundleError, InputError, RecipeError, require
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import (
    RECIPE,
    RUN,
    TRAIN,
    holds_something,
    names_in,
    read_run,
    remove_leftovers,
)
from pplcnet.runs.replaced import recover, set_aside
from pplcnet.system.files import check_writable, write_text
from pplcnet.system.locking import locked
from pplcnet.training.interruption import signals_stop
from pplcnet.training.names import BUNDLE, CHECKPOINT
from pplcnet.training.saved_facts import read_facts

__all__ = [
    "change_run",
    "check_checkpoint",
    "check_digest",
    "check_folder",
    "check_id",
    "check_place",
    "check_same",
    "finished_bundle",
    "new_id",
    "opened",
    "require_keras",
    "run_facts",
    "set_aside",
    "start_folder",
]


@contextlib.contextmanager
def opened(out: Path) -> Iterator[None]:
    """Within, the folder is this process's alone, and SIGTERM and SIGHUP end work as Ctrl-C does.

    Raises:
        InputError: another process uses the folder, or it cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out needs a folder.")
    check_writable(out)
    with signals_stop(), locked(out):
        recover(out)
        remove_leftovers(out, names_in(out))
        yield


def check_place(out: Path, photos: str | PathLike[str], recipe: Recipe) -> None:
    """InputError when what a run writes to `out` would be found among the photos."""
    for each in (photos, recipe.unlabelled):
        if each and Path(each).is_dir() and out.resolve().is_relative_to(Path(each).resolve()):
            raise InputError(
                f"{out}: lies in the photos' folder {each}, where its files would be read as "
                "photos; choose another --out."
            )


def check_folder(
    out: Path, kind: str, *, resume: bool = False, overwrite: bool = False
) -> dict[str, Any] | None:
    """The run.json of the run that is in `out`, if there is one.

    Raises:
        InputError: another run is in there, or there is nothing to resume.
    """
    if overwrite:
        with contextlib.suppress(InputError):  # damaged, and thrown away
            return read_run(out)
        return None
    run = read_run(out)
    if resume and run is None:
        raise InputError(f"{out}: no run to resume there; leave --resume out to start one.")
    if run is None:
        return None
    if run["kind"] != kind and (resume or holds_something(out)):
        raise InputError(
            f"{out}: holds a run of pplcnet {run['kind']}; choose another --out, or delete "
            "that run with --overwrite."
        )
    # A run that failed before its first epoch left nothing that could be lost.
    if kind == TRAIN and not resume and holds_something(out):
        raise InputError(
            f"{out}: holds a run already; --resume continues it, --overwrite deletes it, "
            "another --out leaves it alone."
        )
    return run


def require_keras() -> None:
    """Say at once that training cannot work here, not after minutes of audit."""
    if importlib.util.find_spec("keras") is None:
        require("keras", purpose="training", extra="train")


def new_id() -> str:
    """A random id that ties what a run writes to its run.json."""
    return secrets.token_hex(16)


def change_run(out: Path, run: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Write the run.json again with other facts; returns it."""
    changed = {**run, **changes}
    write_text(out / RUN, json.dumps(changed, indent=2) + "\n")
    return changed


def start_folder(out: Path, recipe: Recipe, run: Mapping[str, Any], writes: Iterable[str]) -> None:
    """Write what the run is made with.

    Args:
        run: kind, id, and `run_facts`.
        writes: names of everything that the run writes into `out`.

    Raises:
        InputError: one of these names is taken by a file that no run wrote.
    """
    out.mkdir(parents=True, exist_ok=True)
    writes = list(writes)
    taken = [name for name in writes if (out / name).exists()]
    if taken:
        raise InputError(
            f"{out}: would overwrite {', '.join(taken)}, which is not known to come from a run (no "
            f"{RUN}); move those files away, or choose another --out."
        )
    # First of all: what lies in a folder without a run.json is not taken for a run's.
    write_text(out / RUN, json.dumps({**run, "writes": writes}, indent=2) + "\n")
    write_text(out / RECIPE, recipe.to_toml())


def run_facts(
    photos: str | PathLike[str],
    checked: Audit,
    recipe: Recipe,
    unlabelled: Unlabelled | None = None,
) -> dict[str, Any]:
    """What has to be the same for a run to continue, and where the photos were."""
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


def check_same(out: Path, before: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """InputError, RecipeError: the run in `out` was by another recipe, or another teacher.

    Args:
        before: its run.json.
        run: what it would be now, as `run_facts` gives it.
    """
    # A field that is newer than the run was at its default.
    recipe = {**Recipe().to_dict(), **before["recipe"]}
    changed = [
        f"you gave {name}={value!r}, the run has {recipe.get(name)!r}"
        for name, value in run["recipe"].items()
        if recipe.get(name) != value
    ]
    if changed:
        raise RecipeError(f"{out}: a resumed run keeps its recipe:", changed)
    if before.get("teacher") != run["teacher"]:
        raise InputError(
            f"{run['recipe']['teacher']}: is no longer the teacher that the run started with; "
            "put that one back, or start a new run."
        )


def check_digest(out: Path, before: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """InputError when the photos are not those that the run started with; arguments as above."""
    if before["digest"] != run["digest"]:
        raise InputError(
            f"{out}: the photos are not those that the run started with (digest "
            f"{before['digest'][:12]}, now {run['digest'][:12]}); put them back as they were, or "
            "start a new run."
        )


def check_checkpoint(folder: Path, run: Mapping[str, Any]) -> None:
    """InputError when the checkpoint in `folder` is damaged, or belongs to another run."""
    path = folder / CHECKPOINT
    if path.is_file():
        check_id(path, read_facts(path).get("run"), run)


def check_id(path: Path, found: object, run: Mapping[str, Any]) -> None:
    """InputError when `path` carries the id of another run than the one of `run`, its run.json.

    Runs of before there were ids have none, and neither have their files.
    """
    if found != run.get("id"):
        raise InputError(
            f"{path}: belongs to another run than the {RUN} beside it; put the right one back, or "
            "start over with --overwrite."
        )


def finished_bundle(folder: Path, run: Mapping[str, Any], fold: int | None = None) -> Bundle | None:
    """The bundle of a run that has nothing left to train or export; None for any other.

    Calibration is the last that a run does to its networks; runs of before there was any have the
    figures of the evaluation.

    Args:
        run: the run.json that the bundle has to belong to.
        fold: which one of `pplcnet suspects`, from 0.

    Raises:
        InputError: a whole bundle, of another run.
    """
    try:
        bundle = Bundle.open(folder / BUNDLE)
        bundle.verify()
    except BundleError:
        return None
    _check_bundle(bundle, run, fold)
    onnx = bundle.manifest.variants.get("onnx")
    if onnx is None:
        return None
    is_calibrated = bool(bundle.manifest.calibration)
    return bundle if is_calibrated or {"test_top1", "validation_top1"} & set(onnx) else None


def _check_bundle(bundle: Bundle, run: Mapping[str, Any], fold: int | None) -> None:
    made_by = bundle.manifest.provenance
    data = made_by.get("dataset")
    of = data if isinstance(data, dict) else {}
    found = made_by.get("run")
    if fold is not None and of.get("fold") != fold + 1:
        found = "another fold"
    # Without ids the photos' digest says it, but where it also covers photos without classes.
    has_digest = run.get("id") is None and not run["recipe"].get("unlabelled")
    if has_digest and of.get("digest") != run["digest"]:
        found = "other photos"
    check_id(bundle.path, found, run)
