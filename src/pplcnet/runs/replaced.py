"""Moves an older run aside for a new one, and restores it if the new one fails early.

If the process is killed, the next one can tell from the names in the folder how far it got:

    replaced-run.moving     the older run is being moved aside or back: restore it
    replaced-run            the whole older run is in there: restore it if the new run has nothing
                            to lose, else delete it
    replaced-run.discarded  nothing in there is needed any more
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pplcnet.errors import InputError, TrainingInterrupted
from pplcnet.runs.files import RUN, holds_something, names_in, remove_own
from pplcnet.training.interruption import StoppedBySignal

__all__ = ["recover", "refuse_to_delete", "set_aside"]

REPLACED = "replaced-run"
MOVING = "replaced-run.moving"
DISCARDED = "replaced-run.discarded"
KEPT = "kept"
"""Where files go that were not the run's own, but lay in a folder of the deleted run."""


def refuse_to_delete(out: Path, needed: Iterable[Path]) -> None:
    """InputError when deleting the run in `out` would delete files that the new one reads."""
    names = (*names_in(out), REPLACED)
    deleted = [(out / name).resolve() for name in names if (out / name).exists()]
    for each in needed:
        if any(each.resolve().is_relative_to(place) for place in deleted):
            raise InputError(
                f"{out}: --overwrite would delete {each}, which the run needs; choose another "
                "--out."
            )


@contextlib.contextmanager
def set_aside(out: Path) -> Iterator[None]:
    """Within, an older run's files in `out` are moved aside; afterwards they are deleted.

    They are restored if the new run fails before it has anything to lose. Other files stay.
    """
    old = [name for name in names_in(out) if _is_there(out / name)]
    if old:
        moving = out / MOVING
        moving.mkdir()
        for name in old:
            os.rename(out / name, moving / name)
        os.rename(moving, out / REPLACED)
    try:
        yield
    except BaseException as error:
        is_back = _bring_back(out)
        if is_back and isinstance(error, TrainingInterrupted):
            # From here, the new run cannot be resumed, as if it had never begun.
            raise StoppedBySignal(error.signal) from error
        if not is_back:
            _discard(out)
        raise
    _discard(out)


def recover(out: Path) -> None:
    """Clean up the folder after a process that was killed; needs the folder's lock.

    Raises:
        InputError: a file of an older run cannot be restored, because another has its name.
    """
    if not out.is_dir():
        return
    shutil.rmtree(out / DISCARDED, ignore_errors=True)
    if (out / MOVING).is_dir():
        _move_back(out)
    _bring_back(out)
    if (out / REPLACED).is_dir():
        _discard(out)


def _bring_back(out: Path) -> bool:
    """Restore the older run, unless there is none or the new one has something to lose."""
    replaced = out / REPLACED
    if not replaced.is_dir():
        return False
    if (out / RUN).is_file():
        if holds_something(out):
            return False
        # These files are the new run's. Its run.json goes last, as it identifies them.
        new = {each.name for each in replaced.iterdir()}.union(names_in(out))
        for name in sorted(new, key=lambda each: each == RUN):
            if _is_there(out / name):
                remove_own(out / name)
    os.rename(replaced, out / MOVING)
    _move_back(out)
    return True


def _move_back(out: Path) -> None:
    moving = out / MOVING
    for each in sorted(moving.iterdir(), key=lambda place: place.name == RUN):
        if _is_there(out / each.name):
            raise InputError(
                f"{each}: belongs to the run in {out}, but {out / each.name} has taken its place; "
                "move one of the two away."
            )
        os.rename(each, out / each.name)
    moving.rmdir()


def _discard(out: Path) -> None:
    """Delete the older run; files inside its folders that are not its own go to `kept`."""
    replaced = out / REPLACED
    if not replaced.is_dir():
        return
    for each in list(replaced.iterdir()):
        remove_own(each)
    others = list(replaced.iterdir())
    if others:
        number = 1
        while _is_there(out / _kept_name(number)):
            number += 1
        os.rename(replaced, out / _kept_name(number))
        return
    os.rename(replaced, out / DISCARDED)
    shutil.rmtree(out / DISCARDED, ignore_errors=True)


def _kept_name(number: int) -> str:
    return KEPT if number == 1 else f"{KEPT}-{number}"


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
