"""Jobs on a real Ray cluster, parts of which are killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ray", reason="needs ray, which 'make test' installs")

from pplcnet.cli.main import main
from tests.jobs.conftest import parts_of
from tests.jobs.processes import LIMIT, children, descendants, is_alive, title, wait_for

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux' /proc"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SHARDS, PHOTOS = 15, 8


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 120 photos that take a while to decode."""
    folder = tmp_path_factory.mktemp("ray")
    generator = np.random.default_rng(0)
    for number in range(4):
        pixels = generator.integers(0, 255, (800, 1100, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
    (folder / "4.png").write_bytes(b"no photo")
    names = itertools.islice(itertools.cycle(f"{number}.png" for number in range(5)), 120)
    (folder / "list.txt").write_text("\n".join(names))
    return folder / "list.txt"


@pytest.fixture(scope="module")
def command(common_bundle: Path, source: Path) -> Callable[..., list[str]]:
    """The command of the job."""

    def make(out: Path, *words: str) -> list[str]:
        return [
            sys.executable, "-m", "pplcnet", "classify", str(common_bundle), str(source),
            "--out", str(out), "--shard-photos", str(PHOTOS), "--max-broken", "1", *words,
        ]  # fmt: skip

    return make


@pytest.fixture(scope="module")
def expected(
    command: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The parts that the job has without Ray and without faults."""
    job = tmp_path_factory.mktemp("local") / "JOB"
    subprocess.run(command(job), check=True, capture_output=True)
    return parts_of(job)


def _actors(root: int) -> list[int]:
    """The actors' processes below another process."""
    return [each for each in descendants(root) if title(each).startswith("ray::RayWorker")]


def _parts(job: Path) -> int:
    return len(list((job / "parts").glob("part-*")))


def test_a_job_on_ray_whose_worker_is_killed_has_the_parts_of_a_local_one(
    common_bundle: Path, job_photos: Path, undisturbed_parts: dict[str, bytes], tmp_path: Path
) -> None:
    job = tmp_path / "JOB"
    words = [
        sys.executable, "-m", "pplcnet", "classify", common_bundle, job_photos, "--out", job,
        "--shard-photos", "4", "--max-broken", "1", "--on", "ray", "--workers", "1",
    ]  # fmt: skip
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as driver:
        wait_for(lambda: _actors(driver.pid))
        processes = list(descendants(driver.pid))
        os.kill(_actors(driver.pid)[0], signal.SIGKILL)
        _, errors = driver.communicate(timeout=LIMIT)
    assert driver.returncode == 0, errors
    assert "Ray cluster with 1 CPU on 1 machine" in errors
    assert parts_of(job) == undisturbed_parts
    wait_for(lambda: not any(map(is_alive, processes)))


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three raylets on this machine, with one CPU each for the second and third."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            started.add_node(num_cpus=1)
        yield started
    finally:
        started.shutdown()
        wait_for(lambda: not any(is_alive(each) for each in children(os.getpid())), 60)


def _kill_worker(cluster: Any, driver: subprocess.Popen[str]) -> None:
    os.kill(_actors(os.getpid())[0], signal.SIGKILL)


def _kill_raylet(cluster: Any, driver: subprocess.Popen[str]) -> None:
    node = sorted(cluster.worker_nodes, key=lambda each: each.node_id)[0]
    node.kill_raylet()
    cluster.add_node(num_cpus=1)


def _stop_worker(cluster: Any, driver: subprocess.Popen[str]) -> None:
    os.kill(_actors(os.getpid())[0], signal.SIGSTOP)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_kill_worker, _kill_raylet, _stop_worker])
def test_a_job_survives_what_happens_to_the_cluster(
    cluster: Any,
    command: Callable[..., list[str]],
    expected: dict[str, bytes],
    tmp_path: Path,
    fault: Callable[[Any, Any], None],
) -> None:
    job = tmp_path / "JOB"
    words = command(job, "--on", "ray", "--address", cluster.address)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as driver:
        wait_for(lambda: _parts(job) > 1)
        fault(cluster, driver)
        _, errors = driver.communicate(timeout=2 * LIMIT)
    assert driver.returncode == 0, errors
    assert parts_of(job) == expected


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_the_cluster_and_its_command_goes_on(
    cluster: Any, command: Callable[..., list[str]], expected: dict[str, bytes], tmp_path: Path
) -> None:
    job = tmp_path / "JOB"
    words = command(job, "--on", "ray", "--address", cluster.address)
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as driver:
        wait_for(lambda: _parts(job) > 1)
        driver.kill()
    wait_for(lambda: not _actors(os.getpid()))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert parts_of(job) == expected


@pytest.mark.slow
def test_a_head_that_is_gone_ends_the_job_with_a_sentence_and_it_goes_on_without_ray(
    cluster: Any, command: Callable[..., list[str]], expected: dict[str, bytes], tmp_path: Path
) -> None:
    job = tmp_path / "JOB"
    words = command(job, "--on", "ray", "--address", cluster.address)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as driver:
        wait_for(lambda: _parts(job) > 1)
        workers = _actors(os.getpid())
        for each in workers:  # so that the job is not done before it notices
            os.kill(each, signal.SIGSTOP)
        cluster.head_node.kill_gcs_server(check_alive=False)
        _, errors = driver.communicate(timeout=LIMIT)
    for each in filter(is_alive, workers):
        os.kill(each, signal.SIGKILL)
    assert driver.returncode == 2, errors
    assert "the head node of the Ray cluster" in errors
    assert "Traceback" not in errors
    subprocess.run(command(job), check=True, capture_output=True)
    assert parts_of(job) == expected


@pytest.mark.slow
def test_two_drivers_on_one_cluster_make_the_parts_of_one(
    cluster: Any, command: Callable[..., list[str]], expected: dict[str, bytes], tmp_path: Path
) -> None:
    job = tmp_path / "JOB"
    words = command(job, "--on", "ray", "--address", cluster.address, "--workers", "1")
    with subprocess.Popen(words) as first, subprocess.Popen(words) as second:
        assert (first.wait(LIMIT), second.wait(LIMIT)) == (0, 0)
    assert parts_of(job) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster can be reached"),
        ("ray://127.0.0.1:10001", "is not the address of a Ray cluster"),
    ],
)
def test_a_cluster_that_is_not_there_is_exit_code_2(
    common_bundle: Path,
    common_photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    address: str,
    message: str,
) -> None:
    words = ["classify", str(common_bundle), str(common_photos), "--out", str(tmp_path / "JOB")]
    assert main([*words, "--on", "ray", "--address", address]) == 2
    assert message in capsys.readouterr().err
