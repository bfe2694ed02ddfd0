"""Real worker processes: killed, stopped, and left alone by a driver that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pplcnet.jobs.classify import Result
from pplcnet.jobs.local_workers import LocalWorkers
from tests.jobs.conftest import parts_of
from tests.jobs.processes import LIMIT, children, is_alive, wait_for


def test_workers_that_are_killed_cost_no_photo(
    run_job: Callable[..., Result],
    job_photos: Path,
    tmp_path: Path,
    undisturbed_parts: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give, killed = LocalWorkers.give, []

    def give_and_kill(self: LocalWorkers, worker: int, shard: object) -> None:
        give(self, worker, shard)  # type: ignore[arg-type]
        if shard.number in (1, 5) and shard.number not in killed:  # type: ignore[attr-defined]
            killed.append(shard.number)  # type: ignore[attr-defined]
            os.kill(self._processes[worker].process.pid, signal.SIGKILL)

    monkeypatch.setattr(LocalWorkers, "give", give_and_kill)
    result = run_job(job_photos, shard_photos=4, workers=2)
    assert result.is_complete
    assert result.progress.retried == len(killed) == 2
    assert parts_of(tmp_path / "JOB") == undisturbed_parts
    assert list(children(os.getpid())) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux' /proc")
def test_a_driver_that_is_killed_leaves_no_process_and_its_command_goes_on(
    common_bundle: Path, job_photos: Path, tmp_path: Path, undisturbed_parts: dict[str, bytes]
) -> None:
    job = tmp_path / "JOB"
    command = [
        sys.executable, "-m", "pplcnet", "classify", common_bundle, job_photos, "--out", job,
        "--shard-photos", "4", "--max-broken", "1", "--workers", "1",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as driver:
        wait_for(lambda: any((job / "parts").glob("part-*")))
        workers = list(children(driver.pid))
        driver.kill()
    assert workers
    wait_for(lambda: not any(map(is_alive, workers)))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert parts_of(job) == undisturbed_parts
    assert sorted(each.name for each in job.iterdir()) == [
        "job.json", "parts", "plan", "summary.json",
    ]  # fmt: skip
    assert "2 of them broken" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_two_drivers_at_once_make_the_parts_of_one(
    common_bundle: Path,
    job_photos: Path,
    tmp_path: Path,
    undisturbed_parts: dict[str, bytes],
    seed: int,
) -> None:
    job = tmp_path / "JOB"
    command = [
        sys.executable, "-m", "pplcnet", "classify", common_bundle, job_photos, "--out", job,
        "--shard-photos", "4", "--max-broken", "1", "--workers", "1",
    ]  # fmt: skip
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **silent) as first:
        time.sleep(0.2 * seed)
        with subprocess.Popen(command, **silent) as second:
            assert (first.wait(LIMIT), second.wait(LIMIT)) == (0, 0)
    assert parts_of(job) == undisturbed_parts


@pytest.mark.slow
def test_a_worker_that_is_stopped_for_a_while_or_for_ever_costs_no_photo(
    run_job: Callable[..., Result],
    job_photos: Path,
    tmp_path: Path,
    undisturbed_parts: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give, stopped = LocalWorkers.give, []

    def give_and_stop(self: LocalWorkers, worker: int, shard: object) -> None:
        if not stopped:
            stopped.append(self._processes[worker].process.pid)
            os.kill(stopped[0], signal.SIGSTOP)
        give(self, worker, shard)  # type: ignore[arg-type]

    monkeypatch.setattr("pplcnet.jobs.driver.SLOW_SECONDS", 3.0)
    monkeypatch.setattr(LocalWorkers, "give", give_and_stop)
    assert run_job(job_photos, shard_photos=4, workers=2).is_complete
    assert parts_of(tmp_path / "JOB") == undisturbed_parts
    assert not is_alive(stopped[0])
