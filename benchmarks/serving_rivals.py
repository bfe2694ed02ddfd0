"""Compare `pplcnet serve` with what people write or install instead: same photos and network.

python benchmarks/serving_rivals.py BUNDLE PHOTOS [--python OTHER/bin/python] [--seconds 10]
    [--rounds 3] [--only NAME...]

BUNDLE is a folder with model.onnx, for a network at 224 pixels. OTHER is an environment with the
rivals' packages, besides numpy, Pillow and onnxruntime: fastapi, uvicorn and python-multipart;
litserve; bentoml; or paddlepaddle and paddlex[cv,serving] of version 3.4.3 (3.7.2 answers photos
with errors). Rivals that are not installed there are skipped. Every server has one process per core
with one thread for the network; FastAPI with threads and PaddleX have one process. Each serves 16
connections, interleaved; figures are medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from machine import describe_machine

from pplcnet.system.processor import available_cores

HERE = Path(__file__).parent
PATIENCE = 120


class Rival(NamedTuple):
    """A server, and how to send it requests."""

    name: str
    module: str
    """The module it needs; "" for pplcnet itself."""
    command: list[str]
    """{python}, {bundle}, {port} and {cores} are filled in."""
    path: str
    field: str | None = None
    """The form field for the photo."""
    is_base64: bool = False
    """Whether the field is in JSON, with the photo in base64."""


SERVERS = [
    Rival(
        "pplcnet serve",
        "",
        ["{own}", "-m", "pplcnet", "serve", "model={bundle}", "--port", "{port}",
         "--engine", "onnxruntime"],
        "/v1/classify",
    ),
    Rival(
        "FastAPI, a process per core",
        "fastapi",
        ["{python}", "-m", "uvicorn", "rival_fastapi:app", "--port", "{port}",
         "--workers", "{cores}", "--log-level", "warning"],
        "/predict",
        "file",
    ),
    Rival(
        "FastAPI, threads",
        "fastapi",
        ["{python}", "-m", "uvicorn", "rival_fastapi:app", "--port", "{port}",
         "--log-level", "warning"],
        "/predict",
        "file",
    ),
    Rival("LitServe", "litserve", ["{python}", "rival_litserve.py", "{port}", "{cores}"],
          "/predict", "request"),
    Rival(
        "BentoML",
        "bentoml",
        ["{python}", "-m", "bentoml", "serve", "rival_bentoml:Photos", "--port", "{port}"],
        "/predict",
        "photo",
    ),
    Rival("PaddleX", "paddlex", ["{python}", "rival_paddlex.py", "{port}", "{cores}"],
          "/image-classification", "image", is_base64=True),
]  # fmt: skip


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(rival: Rival, python: str, bundle: Path) -> Iterator[tuple[int, int]]:
    """Yield the process id and the port of a server once it answers."""
    port = _free_port()
    places = {
        "own": sys.executable,
        "python": python,
        "bundle": str(bundle),
        "port": str(port),
        "cores": str(available_cores()),
    }
    process = subprocess.Popen(
        [word.format(**places) for word in rival.command],
        cwd=HERE,
        env={**os.environ, "NETWORK": str(bundle / "model.onnx"), "CORES": places["cores"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{rival.name} did not start")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.2)
        yield process.pid, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _processes(root: int) -> list[int]:
    """The ids of a process and its descendants."""
    parents = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (each / "stat").read_text().rpartition(")")[2].split()
                parents[int(each.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _memory(pids: list[int]) -> float:
    """Megabytes of memory; shared pages are counted in shares."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
    return total / 1000


def _cpu_seconds(pids: list[int]) -> float:
    """User and system time so far."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _measure(
    rival: Rival, python: str, bundle: Path, photos: str, seconds: float
) -> dict[str, float]:
    with _running(rival, python, bundle) as (pid, port):
        command = [
            sys.executable,
            str(HERE / "serving_load.py"),
            f"http://127.0.0.1:{port}{rival.path}",
            photos,
        ]
        if rival.field is not None:
            command += ["--field", rival.field]
        if rival.is_base64:
            command.append("--base64")

        def load(length: float) -> dict[str, Any]:
            done = subprocess.run(
                [*command, "--seconds", str(length)], check=True, capture_output=True, text=True
            )
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        until = time.monotonic() + PATIENCE
        while not load(1)["latencies_ms"]:
            if time.monotonic() > until:
                raise RuntimeError(f"{rival.name} answers no photo")
        pids = _processes(pid)
        before = _cpu_seconds(pids)
        found = load(seconds)
        latencies = found["latencies_ms"]
        return {
            "rate": len(latencies) / found["seconds"],
            "p50": latencies[len(latencies) // 2],
            "p99": latencies[len(latencies) * 99 // 100],
            "cpu": (_cpu_seconds(pids) - before) / len(latencies) * 1000,
            "memory": _memory(pids),
            "failed": found["sent"] - len(latencies),
        }


def _has(python: str, module: str) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return not module or subprocess.run([python, "-c", code], check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[each.name for each in SERVERS])
    arguments = parser.parse_args()
    print(describe_machine("uvicorn", "onnxruntime"), flush=True)
    rivals = [
        each
        for each in SERVERS
        if _has(arguments.python, each.module) and each.name in (arguments.only or [each.name])
    ]
    found: dict[str, list[dict[str, float]]] = {each.name: [] for each in rivals}
    bundle, photos = arguments.bundle.resolve(), str(Path(arguments.photos).resolve())
    for _ in range(arguments.rounds):
        for each in rivals:
            try:
                figures = _measure(each, arguments.python, bundle, photos, arguments.seconds)
            except RuntimeError as error:
                print(f"{error}.", flush=True)
                continue
            found[each.name].append(figures)
    for name, rounds in found.items():
        if rounds:
            median = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
            print(
                f"{name:<28} {median['rate']:7.1f} requests/s   p50 {median['p50']:7.1f} ms   "
                f"p99 {median['p99']:7.1f} ms   CPU {median['cpu']:6.2f} ms per request   "
                f"{median['memory']:6.0f} MB   "
                f"{median['failed']:.0f} failed"
            )


if __name__ == "__main__":
    main()
