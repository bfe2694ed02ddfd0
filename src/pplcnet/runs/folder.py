"""The folder of a run: whether a run can start or resume there, and which files belong to it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import BundleError, InputError, RecipeError, require
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.settings import field_defaults
from pplcnet.runs.files import (
    RECIPE,
    RUN,
    SUSPECTS,
    fold_name,
    holds_something,
    names_in,
    read_run,
    remove_leftovers,
)
from pplcnet.runs.replaced import recover, set_aside
from pplcnet.runs.stopped import restartable, resumable
from pplcnet.system.files import check_writable, write_text
from pplcnet.system.locking import locked
from pplcnet.training.interruption import signals_stop
from pplcnet.training.names import BUNDLE, CHECKPOINT
from pplcnet.training.saved_facts import read_facts

__all__ = ["RunFolder", "require_keras", "run_facts"]

RESUME_BY_DEFAULT = {SUSPECTS}
"""Kinds of runs that continue when started again without --resume."""


def require_keras() -> None:
    """MissingDependencyError if training cannot work: at once, not after minutes of audit."""
    if importlib.util.find_spec("keras") is None:
        require("keras", purpose="training", extra="train")


def run_facts(photos: str | PathLike[str], digest: str, recipe: Recipe) -> dict[str, Any]:
    """The facts that must be the same for a run to continue, and where the photos are.

    Args:
        digest: sha256 over all images and labels.
    """
    return {
        "photos": str(Path(photos).resolve()),
        "digest": digest,
        "recipe": recipe.to_dict(),
        "teacher": _digest_of_network(recipe.options.teacher),
    }


def _digest_of_network(teacher: str | None) -> str | None:
    """sha256 of a teacher's weights, without its measured figures; None without a teacher."""
    if teacher is None or not Path(teacher).exists():
        return None
    path = Path(teacher)
    if path.is_file():
        return sha256(path.read_bytes()).hexdigest()
    manifest = Bundle.open(path).manifest
    files = {str(v["file"]) for name, v in manifest.variants.items() if name in ("keras", "onnx")}
    digests = [str(manifest.files[name]["sha256"]) for name in sorted(files)]
    return sha256("".join(digests).encode()).hexdigest()


@dataclass(frozen=True)
class RunFolder:
    """The folder that a run writes to."""

    path: Path
    kind: str
    """The kind of run to start or resume there: TRAIN or SUSPECTS."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Within, no other process uses the folder, and SIGTERM and SIGHUP stop work like Ctrl-C.

        Raises:
            InputError: another process uses the folder, or it is not writable.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; --out needs a folder.")
        check_writable(self.path)
        with signals_stop(), locked(self.path):
            recover(self.path)
            remove_leftovers(self.path, names_in(self.path))
            yield

    def check_place(self, photos: str | PathLike[str], recipe: Recipe) -> None:
        """InputError when the run's own files would be read as photos next time."""
        out = self.path.resolve()
        for each in (photos, recipe.options.unlabelled):
            if each and Path(each).is_dir() and out.is_relative_to(Path(each).resolve()):
                raise InputError(
                    f"{self.path}: is inside the photos' folder {each}, where its files would be "
                    "read as photos; choose another --out."
                )

    def check(self, *, resume: bool = False, overwrite: bool = False) -> dict[str, Any] | None:
        """The run.json of the run to resume; None for a new run.

        Raises:
            InputError: the folder holds another run, or nothing to resume.
        """
        if resume:
            return self.recorded()
        if overwrite or read_run(self.path) is None or not holds_something(self.path):
            return None  # a run that failed early left nothing to lose
        run = self.recorded()
        if self.kind not in RESUME_BY_DEFAULT:
            raise InputError(
                f"{self.path}: already holds a run; --resume continues it, --overwrite deletes "
                "it, another --out leaves it alone."
            )
        return run

    def recorded(self) -> dict[str, Any]:
        """The run.json; InputError when it is missing, damaged, or of another kind of run."""
        run = read_run(self.path)
        if run is None:
            raise InputError(
                f"{self.path}: no run to resume there; leave out --resume to start one."
            )
        if run["kind"] != self.kind:
            raise InputError(
                f"{self.path}: holds a run of pplcnet {run['kind']}; choose another --out, or "
                "delete that run with --overwrite."
            )
        return run

    @contextlib.contextmanager
    def working(self, *, is_resumed: bool) -> Iterator[None]:
        """Within, whatever stops the run ends with a message on what is saved and how to continue.

        For a new run, an older one in the folder is moved aside, and restored if the new run fails
        before it has anything to lose.
        """
        aside = contextlib.nullcontext() if is_resumed else set_aside(self.path)
        with aside, resumable(self.path, self.kind), restartable(self.path):
            yield

    def start(
        self, recipe: Recipe, facts: Mapping[str, Any], writes: Iterable[str]
    ) -> dict[str, Any]:
        """Record the settings of a new run; returns its run.json.

        Args:
            facts: those of `run_facts`, and whatever else the run has to remember.
            writes: names of everything that the run writes into the folder.

        Raises:
            InputError: one of these names is taken by a file that no run wrote.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        writes = list(writes)
        taken = [name for name in writes if (self.path / name).exists()]
        if taken:
            raise InputError(
                f"{self.path}: would overwrite {', '.join(taken)}, which is not known to come from "
                f"a run (no {RUN}); move those files away, or choose another --out."
            )
        # The random id ties everything that the run writes to its run.json, which is written first:
        # without a run.json, no file in a folder counts as a run's.
        run = {"kind": self.kind, "id": secrets.token_hex(16), **facts}
        self._write({**run, "writes": writes})
        write_text(self.path / RECIPE, recipe.to_toml())
        return run

    def resume(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
        """The run.json of a run that continues, with the photos' current path.

        Args:
            before: the run.json.
            now: the current `run_facts`; whether the photos are the same is checked elsewhere
                (`check_digest`, `splits.splits_as_before`).

        Raises:
            InputError, RecipeError: the run was made with another recipe or teacher.
        """
        # Fields newer than the run were at their defaults, and `weights` was none.
        recipe = {**field_defaults(Recipe()), "weights": None, **before["recipe"]}
        changed = [
            f"you gave {name}={value!r}, the run has {recipe.get(name)!r}"
            for name, value in now["recipe"].items()
            if recipe.get(name) != value
        ]
        if changed:
            raise RecipeError(f"{self.path}: a resumed run keeps its recipe:", changed)
        if before.get("teacher") != now["teacher"]:
            raise InputError(
                f"{now['recipe']['teacher']}: is no longer the teacher that the run started with; "
                "restore that one, or start a new run."
            )
        return {**before, "photos": now["photos"]}

    def check_digest(self, run: Mapping[str, Any], digest: str) -> None:
        """InputError when the photos differ from those that the run started with."""
        if run["digest"] != digest:
            raise InputError(
                f"{self.path}: the photos are not those that the run started with (digest "
                f"{run['digest'][:12]}, now {digest[:12]}); restore them, or start a new run."
            )

    def change(self, run: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Rewrite the run.json with some facts changed; returns it."""
        changed = {**run, **changes}
        self._write(changed)
        return changed

    def _write(self, run: Mapping[str, Any]) -> None:
        write_text(self.path / RUN, json.dumps(run, indent=2) + "\n")

    def fold(self, number: int | None) -> Path:
        """The folder of fold `number` (from 0) of `pplcnet suspects`; for None, the run's own."""
        return self.path if number is None else self.path / fold_name(number)

    def has_checkpoint(self, run: Mapping[str, Any], fold: int | None = None) -> bool:
        """Whether there is a checkpoint; InputError when it is damaged or another run's."""
        path = self.fold(fold) / CHECKPOINT
        if not path.is_file():
            return False
        _check_id(path, read_facts(path).get("run"), run)
        return True

    def finished_bundle(self, run: Mapping[str, Any], fold: int | None = None) -> Bundle | None:
        """The bundle of a run that has nothing left to train or export; None for any other.

        Calibration is the last change that a run makes to its networks. Runs from before it existed
        have evaluation figures instead.

        Args:
            run: the run.json that the bundle must belong to.
            fold: the fold of `pplcnet suspects`, from 0.

        Raises:
            InputError: the bundle is complete, but belongs to another run.
        """
        try:
            bundle = Bundle.open(self.fold(fold) / BUNDLE)
            bundle.verify()
        except BundleError:
            return None
        _check_bundle(bundle, run, fold)
        onnx = bundle.manifest.variants.get("onnx")
        if onnx is None:
            return None
        return bundle if bundle.manifest.calibration or onnx.get("figures") else None


def _check_id(path: Path, found: object, run: Mapping[str, Any]) -> None:
    """InputError when `found`, the run id at `path`, is not that of the run.json `run`.

    Runs from before ids existed have none, and neither do their files.
    """
    if found != run.get("id"):
        raise InputError(
            f"{path}: belongs to another run than the {RUN} next to it; restore the right one, or "
            "start over with --overwrite."
        )


def _check_bundle(bundle: Bundle, run: Mapping[str, Any], fold: int | None) -> None:
    made_by = bundle.manifest.provenance
    data = made_by.get("dataset")
    of = data if isinstance(data, dict) else {}
    found = made_by.get("run")
    if fold is not None and of.get("fold") != fold + 1:
        found = "another fold"
    # Without ids, compare the photos' digest, unless it also covers unlabelled photos.
    has_digest = run.get("id") is None and not run["recipe"].get("unlabelled")
    if has_digest and of.get("digest") != run["digest"]:
        found = "other photos"
    _check_id(bundle.path, found, run)
