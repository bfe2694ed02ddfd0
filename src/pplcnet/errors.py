"""The errors that pplcnet raises deliberately.

PPLCNetError
├── InputError (ValueError)              the input is wrong
│   ├── UnknownNameError                 no such network, recipe field, ...: suggests the nearest
│   ├── DatasetError                     all faults of a data set in one message
│   ├── ImageError                       one image cannot be used, with its name
│   ├── RecipeError                      all faults of a training recipe in one message
│   └── TrainingDiverged                 the loss is NaN or infinite
├── BundleError (ValueError)             missing file, checksum, format version, no such variant
├── GalleryError (ValueError)            a gallery that is damaged, or not one
├── WeightsError (ValueError)            weights cannot be read, or do not fit the network
├── ConversionError (RuntimeError)       export failed, or parity is outside its limit
├── StorageError (OSError)               a file could not be written, as on a full disk
├── NodeLost (RuntimeError)              another machine of a training ended
└── MissingDependencyError (ImportError) names the command that installs what is missing

`TrainingInterrupted` is not a fault: it says that a training run was stopped and can be resumed.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from pplcnet.system.wording import printable

__all__ = [
    "BundleError",
    "ConversionError",
    "DatasetError",
    "GalleryError",
    "ImageError",
    "InputError",
    "MissingDependencyError",
    "NodeLost",
    "PPLCNetError",
    "RecipeError",
    "StorageError",
    "TrainingDiverged",
    "TrainingInterrupted",
    "UnknownNameError",
    "WeightsError",
    "printable",
    "require",
]


SHOWN_NAMES = 60
SHOWN_FAULTS = 1000


class PPLCNetError(Exception):
    """Base class of all errors that pplcnet raises deliberately.

    The message is one line, followed by an indented line for each of `faults`. Names in them come
    from untrusted files, so control characters are escaped. It can be pickled, whatever the
    constructor takes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, vars(self))

    def __init__(self, summary: str = "", faults: Sequence[str] = ()) -> None:
        self.summary = printable(summary)
        self.faults = tuple(printable(fault) for fault in faults)
        shown = [f"  {fault}" for fault in self.faults[:SHOWN_FAULTS]]
        if len(self.faults) > SHOWN_FAULTS:
            shown.append(f"  and {len(self.faults) - SHOWN_FAULTS} more")
        super().__init__("\n".join([self.summary, *shown]))


def _restored(
    kind: type[PPLCNetError], arguments: tuple[Any, ...], state: dict[str, Any]
) -> PPLCNetError:
    error = kind.__new__(kind, *arguments)
    vars(error).update(state)
    return error


class InputError(PPLCNetError, ValueError):
    """The input is wrong: the message says what was given, what is allowed and what to do."""


class UnknownNameError(InputError):
    """A name that is not in its table.

    `kind` says what was looked up ("network"), `given` is the unknown name and `known` are the
    existing names; the nearest of them are suggested.
    """

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        self.given = given
        self.known = sorted(known)
        near = difflib.get_close_matches(given, self.known, n=3, cutoff=0.5)
        if near:
            *others, last = near
            hint = f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
        else:
            shown, more = self.known[:SHOWN_NAMES], len(self.known) - SHOWN_NAMES
            hint = f"known are: {', '.join(shown)}{f' and {more} more' if more > 0 else ''}."
        super().__init__(f"unknown {kind} {given!r}: {hint}")


class DatasetError(InputError):
    """A data set that cannot be used; `faults` holds one sentence for each fault."""


class RecipeError(InputError):
    """A training recipe that cannot be used; `faults` holds one sentence for each fault."""


class ImageError(InputError):
    """One image that cannot be used; `source` is its name and `reason` what is wrong with it."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = printable(source)
        self.reason = reason
        super().__init__(f"{self.source}: {reason}")


class BundleError(PPLCNetError, ValueError):
    """A bundle that cannot be read, verified or written."""


class GalleryError(PPLCNetError, ValueError):
    """A gallery that cannot be read or verified."""


class WeightsError(PPLCNetError, ValueError):
    """Weights that cannot be read, or do not fit the network they are meant for."""


class ConversionError(PPLCNetError, RuntimeError):
    """An export that failed, or whose outputs differ from the original's by more than allowed."""


class MissingDependencyError(PPLCNetError, ImportError):
    """An optional library that is not installed; the message holds the command that installs it."""


class StorageError(PPLCNetError, OSError):
    """A file that could not be written; the message names it and says what is kept."""


class NodeLost(PPLCNetError, RuntimeError):  # noqa: N818 - says what happened
    """Another of the machines that train together ended, or cannot be reached."""


class TrainingDiverged(InputError):  # noqa: N818 - the field's word
    """The loss became NaN or infinite: the recipe cannot be trained as it is."""


class TrainingInterrupted(PPLCNetError):  # noqa: N818 - not an error
    """Training was stopped from outside after saving its state; `run` is the folder to resume, ""
    if there is nothing to resume.

    `signal` is the number of the signal that stopped it: 2 for Ctrl-C, 15 for SIGTERM. `options`
    are what the command that resumes it needs besides.
    """

    def __init__(self, message: str, run: str, signal: int = 2) -> None:
        self.run = run
        self.signal = signal
        self.options: tuple[str, ...] = ()
        super().__init__(message)


def require(module: str, *, purpose: str, extra: str) -> ModuleType:
    """Import `module`, or raise MissingDependencyError naming the extra that brings it.

    `extra` is "" for what comes with pplcnet itself.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        bracket = f"[{extra}]" if extra else ""
        raise MissingDependencyError(
            f"{purpose} needs {module.split('.')[0]}, which is not installed: "
            f"pip install 'pplcnet{bracket}' (or, in a clone, pip install '.{bracket}')."
        ) from error
