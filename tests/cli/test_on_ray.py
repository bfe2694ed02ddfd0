"""`train --on ray`: what the nodes' ends mean, which helpers are replaced, wrong options."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from pplcnet.cli import on_ray, ray_search
from pplcnet.cli.console import Console
from pplcnet.cli.main import main
from pplcnet.cli.nodes import continued_with, given_nodes
from pplcnet.cli.on_ray import RAY_NODE, RAY_NODES
from pplcnet.cli.ray_search import RAY_HELPER
from pplcnet.cli.search_helping import search_of
from pplcnet.errors import NodeLost, StorageError, TrainingInterrupted
from pplcnet.jobs.command_events import Began, Ended, Events, Line
from pplcnet.training.names import SEARCH_BEST
from pplcnet.training.nodes import Nodes


class Commands:
    """Events in batches, in place of a cluster's."""

    def __init__(self, *batches: Events | BaseException) -> None:
        self._batches = list(batches)
        self.is_stopped = False
        self.started: list[int] = []
        self.removed: list[int] = []

    def events(self, seconds: float) -> Events:
        batch = self._batches.pop(0) if self._batches else []
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def start(self, index: int, words: list[str], environment: dict[str, str]) -> None:
        self.started.append(index)

    def stop(self) -> None:
        self.is_stopped = True

    def remove(self, index: int) -> None:
        self.removed.append(index)


def _watched(*batches: Events | BaseException) -> int:
    return on_ray._Watch(["a:1", "b:2"], Console()).until_ended(Commands(*batches))


def _error(index: int, text: str) -> Line:
    return Line(index, text, is_error=True)


def test_node_0_is_shown_and_its_exit_code_is_that_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = [Line(0, "bundle", is_error=False), _error(0, "epoch 1"), _error(1, "epoch 1 there")]
    assert _watched(said, [Ended(1, 0, "")], [], [Ended(0, 0, "")]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("bundle\n", "epoch 1\n")


def test_a_lost_node_that_node_0_has_named_is_not_named_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = _error(0, "error: node 1 (b:2) ended")
    assert _watched([Ended(1, -9, "ended by SIGKILL")], [said, Ended(0, 3, "")]) == 3
    assert capsys.readouterr().err == "error: node 1 (b:2) ended\n"


@pytest.mark.parametrize("other", [3, 143])
def test_a_node_0_that_is_lost_is_named(other: int) -> None:
    lost = Ended(0, None, "ActorDiedError: the machine is gone")
    with pytest.raises(NodeLost, match=r"node 0 \(a:1\) was lost \(ActorDiedError: .* --resume"):
        _watched([lost], [Ended(1, other, "")])


def test_a_node_that_cannot_begin_ends_the_command_and_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "FAILED_SECONDS", 0.0)
    failed = [_error(1, "start: random"), _error(1, "error: no photos"), Ended(1, 2, "")]
    assert _watched([_error(0, "waiting"), *failed]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert shown == ["waiting", "node 1 (b:2) says:", "error: no photos"]


def test_what_both_nodes_refuse_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    ends = [[_error(index, "error: they differ"), Ended(index, 2, "")] for index in (1, 0)]
    assert _watched(*ends) == 2
    assert capsys.readouterr().err == "error: they differ\n"


def test_a_signal_stops_the_nodes_and_waits_for_them() -> None:
    commands = Commands(KeyboardInterrupt(), [Ended(0, 143, "")], [Ended(1, 143, "")])
    with pytest.raises(KeyboardInterrupt):
        on_ray._Watch(["a:1", "b:2"], Console()).until_ended(commands)
    assert commands.is_stopped
    assert not commands._batches


def _helpers(commands: Commands, count: int = 2) -> ray_search._Helpers:
    return ray_search._Helpers(commands, None, ["train"], count, Console())


def test_a_helper_that_is_lost_is_known_as_ended_and_replaced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = Ended(0, None, "ActorDiedError: gone")
    commands = Commands([Began(0, "host", 7), Began(1, "host", 8)], [lost], [Ended(1, 0, "")])
    helpers = _helpers(commands)
    assert helpers.look() == set()
    assert helpers.look() == {("host", 7)}
    assert (commands.removed, commands.started) == ([0], [0, 1, 0])
    assert "a process on host was lost (ActorDiedError: gone)" in capsys.readouterr().err
    assert helpers.look() == {("host", 7), ("host", 8)}
    assert commands.started == [0, 1, 0]


def test_a_search_without_any_helper_left_ends_with_what_the_last_one_said() -> None:
    fails = [Began(0, "host", 7), _error(0, "error: no photos"), Ended(0, 2, "")]
    with pytest.raises(StorageError, match=r"no process is searching any more; .* says: no photos"):
        _helpers(Commands(fails), 1).look()


def test_a_helper_that_is_lost_whenever_it_begins_is_given_up() -> None:
    lost = [[Began(0, "host", pid), Ended(0, -9, "ended by SIGKILL")] for pid in range(3)]
    helpers = _helpers(Commands(*lost), 1)
    helpers.look()
    helpers.look()
    with pytest.raises(StorageError, match="ended by SIGKILL"):
        helpers.look()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--on", "ray"], "needs either --nodes and a number of nodes, to train, or --search"),
        (["--on", "ray", "--nodes", "a:1,b:2"], "with --on ray it must be a number of nodes"),
        (["--on", "ray", "--nodes", "1"], "with --on ray it must be a number of nodes, 2 to 10000"),
        (["--on", "ray", "--nodes", "9" * 5000], "it must be a number of nodes, 2 to 10000"),
        (["--on", "ray", "--nodes", "2", "--workers", "3"], "--workers is for --search"),
        (["--on", "ray", "--nodes", "2", "--node", "0"], "leave out --node"),
        (["--on", "ray", "--nodes", "2", "--search", "1m"], "--search trains on one node"),
        (["--on", "ray", "--find-learning-rate"], "leave out --on ray"),
        (["--nodes", "a:1,b:2", "--node", "0", "--find-learning-rate"], "--nodes and --node"),
        (["--study", "sqlite:///a.db", "--find-learning-rate"], "leave out --study"),
        (["--address", "auto"], "--address is for a Ray cluster"),
        (["--workers", "2"], "--workers is for a Ray cluster"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "photos", "--out", "nowhere", *options]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("options", [["--nodes", "2"], ["--search", "1m"]])
def test_without_ray_the_command_that_installs_it_is_said(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["train", "photos", "--out", "nowhere", "--on", "ray", *options]) == 2
    assert "--on ray needs ray, which is not installed: pip" in capsys.readouterr().err


def _arguments(**given: object) -> object:
    options = {"on": "ray", "nodes": "2", "node": None, "search": None, "workers": None}
    return type("Given", (), {**options, "address": "auto", "study": None, **given})


def test_a_process_that_ray_started_is_a_node_and_continues_on_ray(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert given_nodes(_arguments()) is None
    monkeypatch.setenv(RAY_NODES, "a:1,b:2")
    monkeypatch.setenv(RAY_NODE, "1")
    nodes = given_nodes(_arguments())
    assert nodes == Nodes(("a:1", "b:2"), 1)
    with pytest.raises(TrainingInterrupted) as stopped, continued_with(_arguments(), nodes):
        raise TrainingInterrupted("Stopped.", run="R")
    assert stopped.value.options == ("--on", "ray", "--nodes", "2", "--address", "auto")


def test_nobody_waits_longer_than_node_0_needs() -> None:
    watch = on_ray._Watch(["a:1", "b:2"], Console())
    assert watch._until == math.inf
    watch._take(Ended(1, 0, ""))
    assert watch._until == math.inf


@pytest.mark.parametrize("given", [{"on": "ray"}, {"on": "local", "study": "sqlite:///a.db"}])
def test_the_command_that_continues_a_run_may_name_what_its_finished_search_needed(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SEARCH_BEST).parent.mkdir()
    (tmp_path / SEARCH_BEST).touch()
    run = {"id": "a", "search": 60.0, **({"study": given["study"]} if "study" in given else {})}
    arguments = _arguments(out=str(tmp_path), nodes=None, run=run, **given)
    assert search_of(arguments, Console()) is None
    monkeypatch.setenv(RAY_HELPER, "1")  # which never trains
    assert search_of(arguments, Console()) is not None
