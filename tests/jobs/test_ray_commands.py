"""Commands that a Ray cluster starts: where, with what, and how their end is seen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray, which 'make test' installs")

from pplcnet.errors import InputError
from pplcnet.jobs import ray_commands
from pplcnet.jobs.command_events import Began, Ended, Line
from pplcnet.jobs.ray_cluster import Cluster, share_of
from pplcnet.jobs.ray_commands import RayCommands
from tests.jobs.processes import LIMIT, children, descendants, is_alive, title, wait_for

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux' /proc"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this machine, with two CPUs."""
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    started = Cluster(None, 2, lambda line: None)
    assert callable(signal.getsignal(signal.SIGTERM))  # Ray has not taken it
    signal.signal(signal.SIGTERM, handler)
    yield started
    started.close()
    wait_for(lambda: not any(is_alive(each) for each in children(os.getpid())), 60)


@pytest.fixture
def commands(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCommands]:
    monkeypatch.setattr(ray_commands, "PROGRAM", ("tests.jobs.command_program",))
    with RayCommands(cluster, 2, print, start_together=True) as opened:
        yield opened
    wait_for(lambda: not _programs())


def _programs() -> list[int]:
    return [
        each for each in descendants(os.getpid()) if "tests.jobs.command_program" in title(each)
    ]


def _events(commands: RayCommands, is_enough: Callable[[list], bool]) -> list:
    found: list = []
    until = time.monotonic() + LIMIT
    while not is_enough(found):
        assert time.monotonic() < until, found
        found += commands.events(0.5)
    return found


def _ended(found: list) -> dict[int, Ended]:
    return {each.number: each for each in found if isinstance(each, Ended)}


def test_commands_get_addresses_and_say_what_they_write_and_how_they_end(
    commands: RayCommands,
) -> None:
    hosts = [each.rpartition(":")[0] for each in commands.addresses(2)]
    assert hosts[0] == hosts[1] != ""
    for index, code in enumerate(("0", "2")):
        commands.start(index, ["ends", code], {"PLACE": f"P{index}"})
    found = _events(commands, lambda found: len(_ended(found)) == 2)
    assert {index: (each.code, each.is_lost) for index, each in _ended(found).items()} == {
        0: (0, False), 1: (2, False),
    }  # fmt: skip
    for index, code in enumerate(("0", "2")):
        lines = [each for each in found if isinstance(each, Line) and each.number == index]
        assert Line(index, f"place {os.getcwd()} P{index} {code}", is_error=False) in lines
        assert Line(index, "error: no reason", is_error=True) in lines
        assert any(isinstance(each, Began) and each.number == index for each in found)


def test_commands_can_be_stopped_and_what_is_killed_is_seen(commands: RayCommands) -> None:
    for index in range(2):
        commands.start(index, ["waits"], {})
    found = _events(commands, lambda found: sum(isinstance(each, Line) for each in found) == 2)
    began = {each.number: each for each in found if isinstance(each, Began)}
    os.kill(began[1].pid, signal.SIGKILL)
    found = _events(commands, lambda found: bool(_ended(found)))
    assert _ended(found) == {1: Ended(1, -9, "ended by SIGKILL")}
    commands.stop()
    found = _events(commands, lambda found: bool(_ended(found)))
    assert _ended(found)[0].code == 128 + signal.SIGTERM
    assert Line(0, "saved", is_error=False) in found


def test_a_command_ends_with_the_actor_that_started_it_and_another_takes_its_place(
    commands: RayCommands,
) -> None:
    commands.start(0, ["waits"], {})
    _events(commands, lambda found: any(isinstance(each, Line) for each in found))
    (program,) = _programs()
    (actor,) = (each for each in descendants(os.getpid()) if program in children(each))
    os.kill(actor, signal.SIGKILL)
    found = _events(commands, lambda found: bool(_ended(found)))
    assert _ended(found)[0].is_lost
    wait_for(lambda: not is_alive(program))
    commands.remove(0)
    commands.start(0, ["ends", "0"], {})
    found = _events(commands, lambda found: bool(_ended(found)))
    assert _ended(found)[0].code == 0


def test_more_processes_than_cpus_are_refused(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="3 processes cannot be started: the Ray cluster has 2 C"):
        RayCommands(cluster, 3, print, start_together=True)


@pytest.mark.parametrize(
    ("machines", "count", "share"),
    [
        ([{"CPU": 8.0}, {"CPU": 8.0}], 2, {"CPU": 8.0}),
        ([{"CPU": 8.0}, {"CPU": 4.0}], 2, {"CPU": 4.0}),
        ([{"CPU": 9.0}], 2, {"CPU": 4.0}),
        ([{"CPU": 64.0}, {"CPU": 4.0}, {}], 3, {"CPU": 21.0}),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], 2, {"CPU": 8.0, "GPU": 1.0}),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], 2, {"CPU": 8.0}),
        ([{"CPU": 1.0}], 2, {}),
    ],
)
def test_processes_share_the_cpus_evenly(machines: list, count: int, share: dict) -> None:
    assert share_of(machines, count) == share
