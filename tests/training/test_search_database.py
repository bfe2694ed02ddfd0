"""A search whose trials are in a database: SQLite always, PostgreSQL where it is installed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from pplcnet.cli.console import Console
from pplcnet.cli.main import main
from pplcnet.cli.search_helping import search_of
from pplcnet.errors import InputError, StorageError, TrainingInterrupted
from pplcnet.training import searching
from pplcnet.training.search_database import (
    facts_of,
    failures_said,
    open_shared_study,
    run_of_study,
    shown_address,
)
from pplcnet.training.search_journal import enqueue, finished_trials, next_trial
from pplcnet.training.search_sharing import (
    SILENT_AFTER,
    Search,
    live_trials,
    redo_silent,
    signs_of_life,
)
from tests.training.database_server import PROGRAMS, Server, database_server
from tests.training.node_programs import ends, start
from tests.training.search_together import TRIALS

ALIKE = {"photos": "P", "recipe": "R"}
needs_server = pytest.mark.skipif(
    PROGRAMS is None, reason="needs PostgreSQL; 'make database-server' installs it"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with database_server() as started:
        yield started


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a study that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/trials.db"
    return f"{request.getfixturevalue('server').address}#{tmp_path.name}"


def test_processes_share_the_trials_of_a_database_and_redo_those_of_the_dead(address: str) -> None:
    assert run_of_study(address) is None
    first = open_shared_study(address, "run", ALIKE, is_helping=False)
    assert run_of_study(address) == "run"
    second = open_shared_study(address, None, ALIKE, is_helping=True)
    enqueue(first, {"learning_rate": 0.5})
    lost = next_trial(second, seed=0)
    assert lost.suggest_float("learning_rate", 0.01, 1.0, log=True) == 0.5
    with signs_of_life(lost):
        pass
    lost.set_user_attr("pid", 2**22 + 1)  # no such process on this machine
    for study in (first, second):
        redo_silent(study, SILENT_AFTER)
    again = next_trial(first, seed=0)
    assert again.suggest_float("learning_rate", 0.01, 1.0, log=True) == 0.5
    first.tell(again, 1.0, state=TrialState.COMPLETE)
    other = next_trial(second, seed=0)
    assert other.suggest_float("learning_rate", 0.01, 1.0, log=True) != 0.5
    assert len(finished_trials(second)) == len(live_trials(first)) == 1


def test_a_study_takes_only_its_own_run_photos_and_recipe(address: str) -> None:
    with pytest.raises(InputError, match="no search is running there"):
        open_shared_study(address, None, ALIKE, is_helping=True)
    open_shared_study(address, "run", ALIKE, is_helping=False)
    open_shared_study(address, "run", ALIKE, is_helping=False)  # resumed
    with pytest.raises(InputError, match="holds the search of another run"):
        open_shared_study(address, "other", ALIKE, is_helping=False)
    other = {**ALIKE, "recipe": "S"}
    with pytest.raises(InputError, match="the search there has other recipe; start every process"):
        open_shared_study(address, None, other, is_helping=True)
    second = f"{address.partition('#')[0]}#second-{time.time()}"
    open_shared_study(second, "other", other, is_helping=False)


@needs_server
def test_a_server_that_is_gone_is_one_sentence_and_one_that_is_back_is_used_again(
    server: Server,
) -> None:
    address = f"{server.address}#restarted"
    study = open_shared_study(address, "run", ALIKE, is_helping=False)
    server.stop()
    try:
        with (
            pytest.raises(StorageError, match="the database of the search cannot be used"),
            failures_said(address),
        ):
            live_trials(study)
    finally:
        server.start()
    next_trial(study, seed=0)
    assert len(live_trials(study)) == 1


@pytest.mark.slow
@needs_server
def test_of_four_processes_on_a_server_one_is_killed_and_no_trial_is_lost(
    server: Server, tmp_path: Path
) -> None:
    address = f"{server.address}#four"
    processes = []
    for number, role in enumerate(["begins", "helps", "helps", "helps"]):
        out = tmp_path / str(number)
        out.mkdir()
        processes.append(start("tests.training.search_together", out, role, address))
    assert processes[3].stdout is not None
    assert "trial" in processes[3].stdout.readline()
    processes[3].kill()
    for code, text in ends(processes)[:3]:
        assert code == 0, text
    study = open_shared_study(address, "run", {"photos": "the same"}, is_helping=False)
    finished = finished_trials(study)
    assert len(finished) == TRIALS
    assert len({tuple(each.params.values()) for each in finished}) == TRIALS


def test_a_run_whose_search_was_stopped_asks_for_its_database_and_keeps_no_password(
    common_photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise TrainingInterrupted("Stopped in trial 1.", run=str(tmp_path / "run"))

    monkeypatch.setattr(searching, "search", stopped)
    study = f"sqlite:///{tmp_path}/trials.db"
    words = ["train", str(common_photos), "--model", "pplcnet_x0_25", "--weights", "none"]
    words += ["--out", str(tmp_path / "run"), "--search", "1m", "--set", "test=0"]
    assert main([*words, "--study", study]) != 0
    assert json.loads((tmp_path / "run/run.json").read_text())["study"] == study
    capsys.readouterr()
    resume = ["train", "--resume", "--out", str(tmp_path / "run")]
    for given in ([], ["--study", f"sqlite:///{tmp_path}/other.db"]):
        assert main([*resume, *given]) == 2
        assert (
            f"the trials of this run's search are in {study}; give that as --study"
            in capsys.readouterr().err
        )
    assert main([*resume, "--study", study]) == 130  # searches again, and is stopped again
    arguments = argparse.Namespace(
        search=None, study=study, out="R", on="local", nodes=None, run={"search": 60.0, "id": "a"}
    )
    with pytest.raises(
        InputError, match="R: the trials of this run's search are in that folder; leave out --study"
    ):
        search_of(arguments, Console())
    secret = Search(60.0, study="postgresql://me:secret@host/db#a")
    assert facts_of(secret) == {"search": 60.0, "study": "postgresql://me:***@host/db#a"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:secret@host/db#a", "postgresql://me:***@host/db#a"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:a/b:c@host/db", "postgresql://me:***@host/db"),
        ("mysql://host/db?password=a&ssl=1#b", "mysql://host/db?password=***&ssl=1#b"),
    ],
)
def test_a_password_is_never_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--study", "sqlite:///a.db"], "--study stores the trials of a search; give --search"),
        (["--search", "1m", "--study", "s3://bucket"], "it must be the address of a database"),
        (["--search", "1m", "--study", "sqlite:////no/such/folder/a.db"], "cannot be used (unable"),
        (
            ["--search", "1m", "--study", "postgresql://me:secret@127.0.0.1:1/db"],
            "me:***@127.0.0.1",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "photos", "--out", "nowhere", *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_missing_driver_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    study = ["--search", "1m", "--study", "postgresql://host/db"]
    assert main(["train", "photos", "--out", "nowhere", *study]) == 2
    assert "needs psycopg, which is not installed" in capsys.readouterr().err
