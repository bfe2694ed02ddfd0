"""The messages of a run stopped by a signal, a full disk, a photo, its loss or its export."""

from __future__ import annotations

import contextlib
import errno
import shlex
from collections.abc import Iterator
from pathlib import Path

from pplcnet.errors import (
    BundleError,
    ConversionError,
    DatasetError,
    ImageError,
    InputError,
    PPLCNetError,
    StorageError,
    TrainingDiverged,
    TrainingInterrupted,
)
from pplcnet.runs.files import RUN, TRAIN, fold_name, holds_something
from pplcnet.training.interruption import signal_of
from pplcnet.training.names import BUNDLE, CHECKPOINT, SEARCH_TRIALS
from pplcnet.training.saved_facts import read_facts

__all__ = ["restartable", "resumable"]

# Errors of a disk that is full or no longer writable.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}


@contextlib.contextmanager
def resumable(out: Path, kind: str) -> Iterator[None]:
    """Within, a signal, a full disk or an unreadable photo ends with a message on how to continue.

    Raises:
        TrainingInterrupted: a signal, with the run's folder.
        StorageError: the disk is full.
        InputError: a photo can no longer be read.
        ConversionError: the trained network could not be exported.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not (out / RUN).is_file():
            raise
        raise TrainingInterrupted(
            f"Stopped. {_sentence(_kept(out))}", run=str(out), signal=signal_of(stopped)
        ) from stopped
    except TrainingInterrupted as stopped:
        if stopped.run == str(out):
            raise
        # A training inside this run (such as a fold) was stopped: this run is the one to resume.
        raise TrainingInterrupted(str(stopped), run=str(out), signal=stopped.signal) from stopped
    except (ImageError, DatasetError) as error:
        if not ((out / RUN).is_file() and holds_something(out)):
            raise
        goes_on = _resume_command(out, kind)
        without = f", or without it with: {goes_on} --skip-broken" if kind == TRAIN else ""
        raise InputError(
            f"{str(error).removesuffix('.')}; {_kept(out)}. Restore the photo and continue with: "
            f"{goes_on}{without}"
        ) from error
    except ConversionError as error:
        alone = f", or the export alone: pplcnet export {shlex.quote(str(out / BUNDLE))}"
        raise ConversionError(
            f"{error} In {out}, {_kept(out)}. To try the rest of the run again: "
            f"{_resume_command(out, kind)}{alone if kind == TRAIN else ''}"
        ) from error
    except (StorageError, BundleError, OSError) as error:
        reason = _storage_problem(error)
        if reason is None:
            raise
        goes_on = (
            f"continue with: {_resume_command(out, kind)}"
            if (out / RUN).is_file() and holds_something(out)
            else "start again"
        )
        raise StorageError(f"{reason}; {_kept(out)}. Free some space, then {goes_on}") from error


@contextlib.contextmanager
def restartable(out: Path) -> Iterator[None]:
    """Within, a TrainingDiverged also says how to train again, now that the folder holds a run."""
    try:
        yield
    except TrainingDiverged as error:
        if not holds_something(out):
            raise
        raise TrainingDiverged(
            f"{error} {out} holds what was trained so far: add --overwrite to replace it, or "
            "choose another --out."
        ) from error


def _resume_command(out: Path, kind: str) -> str:
    return f"pplcnet {kind} --resume --out {shlex.quote(str(out))}"


def _storage_problem(error: OSError | BundleError) -> str | None:
    """A sentence on what could not be written and why; None for any other error."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__  # type: ignore[assignment]
    if not isinstance(cause, OSError) or cause.errno not in _FULL:
        return None
    if isinstance(error, PPLCNetError):
        return str(error).removesuffix(".")
    place = f"{error.filename}: " if error.filename is not None else ""
    return f"{place}cannot be written ({error.strerror or error})"


def _kept(out: Path) -> str:
    """A sentence on what a stopped run has saved."""
    if (out / CHECKPOINT).is_file():
        with contextlib.suppress(InputError):
            facts = read_facts(out / CHECKPOINT)
            return f"everything up to {_place(facts['epoch'], facts['step'])} is saved"
    if (out / BUNDLE).exists():
        return "the trained network is saved"
    if (out / SEARCH_TRIALS).is_file():
        return "the finished trials of the search are saved"
    if (out / fold_name(0)).is_dir() and holds_something(out):
        return "the folds trained so far are saved"
    return "nothing was trained yet"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _place(epoch: int, step: int) -> str:
    return f"step {step} of epoch {epoch + 1}" if step else f"the end of epoch {epoch}"
