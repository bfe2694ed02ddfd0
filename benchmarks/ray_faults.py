"""Kill parts of a Ray cluster under `pplcnet classify --on ray` and Ray Data.

    python benchmarks/ray_faults.py BUNDLE PHOTOS [--count 2000]

Runs a cluster of three raylets on this machine. Kills the raylet whose worker has the photos (then
another joins), and the driver, whose command is then repeated. Prints how it ended, the rows that
were written, and the number of different photos among them. Ray Data runs as documented:
read_images(...).map_batches(...).write_parquet(...). Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe_machine
from ray.cluster_utils import Cluster
from scaleout import RAY_DATA, classify, photo_folder

START_LIMIT, FAULT_AFTER, FAULT_LIMIT = 90.0, 4.0, 150.0
"""Seconds: until an actor works, from then to the fault, and from the fault to the end."""


def raylet_at_work(cluster: Any) -> Any:
    """Wait for an actor; returns the node whose raylet started it."""
    raylets = {each.all_processes["raylet"][0].process.pid: each for each in cluster.worker_nodes}
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until:
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                title = (place / "cmdline").read_bytes()
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                if parent in raylets and (b"RayWorker" in title or b"MapWorker" in title):
                    return raylets[parent]
        time.sleep(0.2)
    raise SystemExit(f"no actor works after {START_LIMIT:.0f} s")


def kill_raylet(cluster: Any, driver: subprocess.Popen[bytes]) -> None:
    """Kill the raylet that started the working actor."""
    raylet_at_work(cluster).kill_raylet()
    cluster.add_node(num_cpus=1)


def kill_driver(cluster: Any, driver: subprocess.Popen[bytes]) -> None:
    driver.kill()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("photo_folder", metavar="PHOTOS")
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    print(describe_machine("onnxruntime", "pyarrow", "ray"))

    for title, fault in (("raylet killed", kill_raylet), ("driver killed", kill_driver)):
        for way in ("classify", "Ray Data"):
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            with tempfile.TemporaryDirectory() as temporary:
                folder, count = photo_folder(arguments, temporary)
                out = Path(temporary, "out")
                command = classify(arguments.bundle, folder, out, "ray")
                command += ["--shard-photos", 200, "--address", cluster.address]
                if way == "Ray Data":
                    command = [sys.executable, "-c", RAY_DATA, arguments.bundle, folder, out]
                    command.append(cluster.address)
                print(f"{title}  {way:<9} {_with_fault(command, cluster, fault)}, "
                      f"{_rows_and_photos(out, way)} of {count} photos", flush=True)  # fmt: skip
            cluster.shutdown()


def _with_fault(command: list[Any], cluster: Any, fault: Callable[..., None]) -> str:
    """How the command ended; it is repeated if the fault killed its driver."""
    words, begun = list(map(str, command)), time.perf_counter()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, **quiet) as driver:
        raylet_at_work(cluster)
        time.sleep(FAULT_AFTER)
        fault(cluster, driver)
        try:
            if driver.wait(FAULT_LIMIT) == -signal.SIGKILL:
                again = subprocess.run(words, **quiet, timeout=FAULT_LIMIT, check=False)
                return f"again: exit code {again.returncode}, {time.perf_counter() - begun:.0f} s"
        except subprocess.TimeoutExpired:
            driver.kill()
            return f"not ended after {FAULT_LIMIT:.0f} s"
    return f"exit code {driver.returncode}, {time.perf_counter() - begun:.0f} s"


def _rows_and_photos(out: Path, way: str) -> str:
    import pyarrow.parquet as pq

    paths: list[str] = []
    for path in out.glob("parts/*.parquet" if way == "classify" else "*.parquet"):
        paths += pq.read_table(path, columns=["path"])["path"].to_pylist()
    return f"{len(paths)} rows, {len(set(paths))}"


if __name__ == "__main__":
    main()
