"""Several processes in one search: no trial is lost, and none is done twice."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from pplcnet.training.search_journal import enqueue, finished_trials, next_trial, open_study
from pplcnet.training.search_sharing import (
    SILENT_AFTER,
    live_trials,
    others_took_part,
    redo_silent,
    signs_of_life,
)
from tests.training.node_programs import ends, start
from tests.training.search_together import TRIALS


@pytest.fixture
def studies(tmp_path: Path) -> tuple:
    """One journal as two processes see it."""
    path = tmp_path / "search" / "trials.log"
    return open_study(path, "run"), open_study(path, "run")


def _begun(study, **facts):
    trial = next_trial(study, seed=0)
    trial.suggest_float("learning_rate", 0.01, 1.0, log=True)
    with signs_of_life(trial):
        pass
    for name, value in facts.items():
        trial.set_user_attr(name, value)
    return trial


def test_trials_at_the_same_time_try_other_values(studies) -> None:
    trials = [_begun(study) for study in studies]
    assert len({each.params["learning_rate"] for each in trials}) == 2


def test_no_process_begins_more_trials_than_were_asked_for(studies) -> None:
    first, second = studies
    assert next_trial(first, 0, most_trials=1) is not None
    assert next_trial(second, 0, most_trials=1) is None
    assert len(live_trials(first)) == 1


@pytest.mark.parametrize(
    "facts",
    [
        {"host": "another", "seen": time.time() - 2 * SILENT_AFTER},
        {"pid": os.getppid(), "seen": time.time() - 2 * SILENT_AFTER},  # it is, but hangs
        {"pid": 2**22 + 1},  # no such process on this machine
    ],
)
def test_a_trial_without_a_sign_of_life_is_done_again_once(studies, facts: dict) -> None:
    first, second = studies
    lost = _begun(first, **facts)
    enqueue(second, lost.params)
    for study in studies:
        redo_silent(study, SILENT_AFTER)
    assert lost.number not in [each.number for each in live_trials(first)]
    again = [next_trial(study, seed=0) for study in studies]
    tried = [each.suggest_float("learning_rate", 0.01, 1.0, log=True) for each in again]
    assert tried.count(lost.params["learning_rate"]) == 1


def test_a_trial_of_a_process_that_is_known_to_have_ended_is_done_again(studies) -> None:
    lost = _begun(studies[0], host="another")
    redo_silent(studies[1], SILENT_AFTER, {("another", os.getpid())})
    assert not live_trials(studies[0])
    assert (
        next_trial(studies[0], seed=0).suggest_float("learning_rate", 0.01, 1.0, log=True)
        == (lost.params["learning_rate"])
    )


def test_a_trial_of_a_living_process_is_left_alone(studies) -> None:
    first, second = studies
    _begun(first, pid=os.getppid())
    _begun(first, host="another")
    for study in studies:
        redo_silent(study, SILENT_AFTER)
    assert len(live_trials(second)) == 2


def test_signs_are_repeated_until_the_trial_ends(studies) -> None:
    trial = next_trial(studies[0], seed=0)
    with signs_of_life(trial, silent_after=0.1):
        before = trial.user_attrs["seen"]
        until = time.monotonic() + 30
        while live_trials(studies[1])[0].user_attrs["seen"] == before:
            assert time.monotonic() < until
            time.sleep(0.02)
        studies[1].tell(trial.number, state=TrialState.FAIL)  # the thread ends without an error


@pytest.mark.slow
def test_four_processes_one_of_which_is_killed_do_as_many_trials_as_were_asked_for(
    tmp_path: Path,
) -> None:
    roles = ["begins", "helps", "helps", "helps"]
    processes = [start("tests.training.search_together", tmp_path, role) for role in roles]
    assert processes[3].stdout is not None
    assert "trial" in processes[3].stdout.readline()
    processes[3].kill()
    for code, text in ends(processes)[:3]:
        assert code == 0, text
    study = open_study(tmp_path / "search" / "trials.log", "run")
    finished = finished_trials(study)
    assert len(finished) == TRIALS
    assert len({tuple(each.params.values()) for each in finished}) == TRIALS
    assert len({each.user_attrs["pid"] for each in finished}) >= 3
    assert others_took_part(study)
