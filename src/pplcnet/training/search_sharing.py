"""Trials of several processes in one journal: heartbeats, and recovery from dead processes.

Optuna's journal has no heartbeat of its own (optuna/optuna#6615).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

__all__ = [
    "SILENT_AFTER", "Process", "Search", "SearchedBy", "live_trials", "others_took_part",
    "redo_silent", "signs_of_life",
]  # fmt: skip

Process = tuple[str, int]
"""The machine's name and the process id."""
SearchedBy = AbstractContextManager[Callable[[], set[Process]]]
"""Within, other processes run trials. The yielded function, called now and then, returns those that
are known to have ended, and raises if none of them can work."""


class Search(NamedTuple):
    """The search at the start of a run."""

    seconds: float
    by: SearchedBy | None = None
    """Who runs the trials; None for this process and any that help."""
    study: str | None = None
    """The address of the database with the trials; None for a file in the run's folder."""


SILENT_AFTER = 300.0
"""Seconds without a heartbeat after which a trial is run again."""


@contextmanager
def signs_of_life(trial: Any, silent_after: float = SILENT_AFTER) -> Iterator[None]:
    """Within, the trial gets regular heartbeats from this process."""
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

    now = time.time()
    for name, value in (("host", socket.gethostname()), ("pid", os.getpid()), ("began", now)):
        trial.set_user_attr(name, value)
    trial.set_user_attr("seen", now)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.wait(silent_after / 5):
            try:
                with contextlib.suppress(StorageInternalError):  # the database is out of reach
                    trial.set_user_attr("seen", time.time())
            except UpdateFinishedTrialError:  # another process considered it dead
                return

    writer = threading.Thread(target=write, name="pplcnet-trial", daemon=True)
    writer.start()
    try:
        yield
    finally:
        is_over.set()
        writer.join()


def live_trials(study: Any) -> list[Any]:
    """The trials marked as running, including those of processes that died silently."""
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def redo_silent(study: Any, silent_after: float, ended: Collection[Process] = ()) -> None:
    """Enqueue the trials of dead processes again, each once.

    Args:
        silent_after: seconds without a heartbeat after which a process counts as dead.
        ended: processes that are known to have ended.

    If several processes find the same dead trial, the journal lets only one of them end it.
    """
    from optuna.trial import TrialState

    for trial in live_trials(study):
        facts = trial.user_attrs
        is_dead = (facts.get("host"), facts.get("pid")) in ended
        if not is_dead and not _is_silent(trial, silent_after):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, RuntimeError):  # it has just ended, or another process ended it
            continue
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={"numbers": trial.params})


def _is_silent(trial: Any, silent_after: float) -> bool:
    facts = trial.user_attrs
    if "seen" not in facts:  # written with the trial's values; journals of version 0.2 have none
        return bool(time.time() - trial.datetime_start.timestamp() > silent_after)
    if time.time() - facts["seen"] > silent_after:
        return True
    if facts["host"] != socket.gethostname():
        return False
    return facts["pid"] == os.getpid() or not _is_running(facts["pid"])


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def others_took_part(study: Any) -> bool:
    """Whether trials ran in several processes at the same time."""
    spans = sorted(
        (
            facts["began"],
            facts["began"] + trial.duration.total_seconds(),
            facts["host"],
            facts["pid"],
        )
        for trial in study.get_trials(deepcopy=False)
        if (facts := trial.user_attrs).keys() >= {"began", "score"} and trial.duration
    )
    return any(
        following[0] < before[1] and following[2:] != before[2:]
        for before, following in pairwise(spans)
    )
