"""Measure the cost and robustness of `pplcnet serve`, with each figure next to its target.

python benchmarks/serving.py BUNDLE PHOTOS [--only NAME...] [--seconds 10] [--rounds 5]
    [--workers N] [--soak-minutes 10]

BUNDLE is a folder. Linux only: processes' times and memory are read from /proc. CPU time is
compared with that of `Classifier.predict_many` on the same photos, interleaved.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from machine import describe_machine
from serving_load import read_photos

from pplcnet.runtime.classifier import Classifier
from pplcnet.system.processor import available_cores

LOAD = Path(__file__).with_name("serving_load.py")
TICKS = os.sysconf("SC_CLK_TCK")


class Figure(NamedTuple):
    """A measured value and its target."""

    name: str
    text: str
    bar: str
    is_met: bool


class Server:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str, seconds: float) -> None:
        self.process, self.url, self.ready_seconds = process, url, seconds

    @property
    def pids(self) -> list[int]:
        """The process ids: the front process, then its workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_seconds(self) -> dict[int, float]:
        """User and system time of each process so far."""
        return {pid: used for pid in self.pids if (used := _cpu_of(pid)) is not None}

    def resident_bytes(self, kind: str = "Pss", *, only_front: bool = False) -> int:
        """Memory of the processes.

        Args:
            kind: "Pss", which counts pages shared by processes in shares; or "Anonymous",
                without files, which is unaffected by other processes on the machine.
        """
        total = 0
        for pid in self.pids[: 1 if only_front else None]:
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    total += int(line.split()[1]) << 10 if line.startswith(f"{kind}:") else 0
        return total

    def post(self, path: str) -> int:
        """The status of a request without a body."""
        request = urllib.request.Request(self.url + path, data=b"")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def _cpu_of(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def serving(*arguments: object) -> Iterator[Server]:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pplcnet", "serve", "--port", "0", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()  # printed once every model is ready
        if " at http" not in line:
            raise SystemExit(f"the server did not start: {line}")
        url = line.split(" at ")[1].split(";")[0]
        yield Server(process, url, time.perf_counter() - started)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Benchmark:
    """Each method measures one or more figures."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.bundle, self.photos = arguments.bundle, arguments.photos
        self.seconds, self.rounds = arguments.seconds, arguments.rounds
        self.workers = arguments.workers or available_cores()
        self.soak_minutes = arguments.soak_minutes

    def _serving(self, *more: object) -> contextlib.AbstractContextManager[Server]:
        return serving(f"model={self.bundle}", "--workers", self.workers, *more)

    def _start_load(self, server: Server, **options: object) -> subprocess.Popen[str]:
        given = {"seconds": self.seconds, **options}
        words = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
        return subprocess.Popen(
            [sys.executable, str(LOAD), f"{server.url}/v1/classify", self.photos, *words],
            stdout=subprocess.PIPE,
            text=True,
        )

    def _load(self, server: Server, **options: object) -> dict[str, Any]:
        return _result(self._start_load(server, **options))

    def ready(self) -> Iterator[Figure]:
        times, cpu = [], []
        for _ in range(self.rounds):
            with self._serving() as server:
                times.append(server.ready_seconds)
                cpu.append(sum(server.cpu_seconds().values()))
        median = statistics.median(times)
        yield Figure(
            "ready after",
            f"{median:.2f} s, longest {max(times):.2f} s; CPU {statistics.median(cpu):.2f} s in "
            f"{self.workers + 1} processes",
            "2 s",
            median <= 2,
        )

    def cpu(self) -> Iterator[Figure]:
        photos = read_photos(self.photos)
        ours, alone, front = [], [], []
        with Classifier(self.bundle) as classifier, self._serving() as server:
            for _ in classifier.predict_many(photos[:32]):
                pass
            self._load(server, connections=2 * self.workers, seconds=1)
            for _ in range(self.rounds):
                before = server.cpu_seconds()
                found = self._load(server, connections=2 * self.workers, seconds=self.seconds / 2)
                after = server.cpu_seconds()
                used = {pid: after[pid] - before.get(pid, 0.0) for pid in after}
                answered = sum(found["statuses"].values())
                ours.append(sum(used.values()) / answered * 1000)
                front.append(used[server.process.pid] / answered * 1000)
                began, count = time.process_time(), 0
                until = time.perf_counter() + self.seconds / 2
                while time.perf_counter() < until:
                    count += sum(1 for _ in classifier.predict_many(photos))
                alone.append((time.process_time() - began) / count * 1000)
        more = statistics.median(a / b for a, b in zip(ours, alone, strict=True)) - 1
        yield Figure(
            "CPU per request",
            f"{statistics.median(ours):.2f} ms, {statistics.median(front):.2f} of it in the front; "
            f"predict_many {statistics.median(alone):.2f} ms: {more:+.1%}",
            "+8 %",
            more <= 0.08,
        )

    def latency(self) -> Iterator[Figure]:
        with self._serving() as server:
            one = _percentile(self._load(server, connections=1), 50)
            most = self._load(server, connections=2 * self.workers)
            rate = most["statuses"]["200"] / most["seconds"]
            half = self._load(server, connections=32, rate=rate / 2)
        p50, p99 = _percentile(half, 50), _percentile(half, 99)
        yield Figure(
            "requests per second", f"{rate:.0f}, p99 {_percentile(most, 99):.1f} ms", "", True
        )
        yield Figure(
            "at half load",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; one photo alone {one:.1f} ms: "
            f"{p99 / one:.1f} times",
            "3 times",
            p99 < 3 * one,
        )

    def kills(self) -> Iterator[Figure]:
        with self._serving() as server:
            load = self._start_load(server, connections=16, seconds=4 * self.seconds / 3 + 3)
            for _ in range(3):
                time.sleep(self.seconds / 3)
                os.kill(server.pids[1], signal.SIGKILL)
            found = _result(load)
        rates = found["by_second"]
        usual = statistics.median(rates)
        slow = max((len(each) for each in _runs(rates, usual * 0.7)), default=0)
        answered, failed, why = _failures(found)
        yield Figure(
            "3 workers killed", f"{failed} failed{why}, {answered} answered", "0", failed == 0
        )
        yield Figure("slow after a death", f"{slow} s below 70 % of the rate", "3 s", slow <= 3)

    def overload(self) -> Iterator[Figure]:
        ratios, p99s, refused = [], [], []
        with self._serving() as server:
            for _ in range(self.rounds):
                best = self._load(server, connections=2 * self.workers)
                much = self._load(server, connections=64 * max(1, self.workers // 2))
                ratios.append(_rate(much) / _rate(best))
                p99s.append(_percentile(much, 99))
                refused.append(much["statuses"].get("503", 0))
        ratio = statistics.median(ratios)
        yield Figure(
            "answers in overload",
            f"{ratio:.0%} of the best rate, {statistics.median(refused):.0f} refusals",
            "80 %",
            ratio >= 0.8,
        )
        yield Figure(
            "p99 in overload", f"{statistics.median(p99s):.0f} ms", "5 s", max(p99s) < 5000
        )

    def refusal(self) -> Iterator[Figure]:
        with serving(
            f"model={self.bundle}", "--workers", 1, "--queue", 1, "--timeout", 3600
        ) as server:
            os.kill(server.pids[1], signal.SIGSTOP)
            held = [_held_request(server, read_photos(self.photos)[0]) for _ in range(2)]
            time.sleep(0.5)
            before = server.cpu_seconds()[server.process.pid]
            found = self._load(server, connections=64)
            used = server.cpu_seconds()[server.process.pid] - before
            for each in held:
                each.close()
        refused = found["statuses"]["503"]
        each_ms = used / refused * 1000
        yield Figure(
            "CPU per refusal", f"{each_ms:.2f} ms ({refused} refusals)", "0.3 ms", each_ms < 0.3
        )

    def reload(self) -> Iterator[Figure]:
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(shutil.copytree(_folder_of(self.bundle), Path(folder, "copy.bundle")))
            manifest = bundle / "manifest.json"
            sound = manifest.read_bytes()
            with serving(f"model={bundle}", "--workers", self.workers, "--allow-control") as server:
                load = self._start_load(server, connections=16, seconds=3600)
                codes = []
                began = time.perf_counter()
                for at in range(110):
                    is_damaged = at % 11 == 10
                    new = Path(folder, "new.json")
                    new.write_bytes(sound[:-9] if is_damaged else sound)
                    new.replace(manifest)
                    code = server.post("/v2/repository/models/model/load")
                    codes.append(code == (400 if is_damaged else 200))
                each = (time.perf_counter() - began) / 110
                load.send_signal(signal.SIGINT)
                found = _result(load)
        answered, failed, why = _failures(found)
        yield Figure(
            "100 reloads under load",
            f"{failed} failed{why}, {answered} answered, {each:.2f} s each; 10 damaged bundles in "
            f"between changed nothing: {all(codes)}",
            "0",
            failed == 0 and all(codes),
        )

    def sigterm(self) -> Iterator[Figure]:
        with self._serving("--drain", 1) as server:
            load = self._start_load(server, connections=16, seconds=self.seconds)
            time.sleep(self.seconds / 3)
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait()
            found = _result(load)
        answered, failed, why = _failures(found)
        yield Figure(
            "SIGTERM under load",
            f"{failed} lost{why}, {answered} answered, exit code {code}",
            "0",
            failed == 0 and code == 0,
        )

    def memory(self) -> Iterator[Figure]:
        with self._serving() as server:
            self._load(server, connections=16)
            total = server.resident_bytes()
            before = server.resident_bytes("Anonymous", only_front=True)
            sockets = []
            for _ in range(2000):
                with contextlib.suppress(OSError):
                    sockets.append(socket.create_connection(_address(server), timeout=10))
            for each in sockets[:500]:
                with contextlib.suppress(OSError):
                    each.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n")
            found = self._load(server, connections=4)
            grown = server.resident_bytes("Anonymous", only_front=True) - before
            for each in sockets:
                each.close()
        processes = f"{self.workers + 1} processes"
        yield Figure("memory", f"{total / 1e6:.0f} MB in {processes}", "", True)
        answered = found["statuses"].get("200", 0)
        yield Figure(
            "2000 idle and slow connections",
            f"{grown / 1e6:+.0f} MB, {answered} others answered",
            "50 MB",
            grown < 50e6 and answered > 0,
        )

    def soak(self) -> Iterator[Figure]:
        with self._serving() as server:
            load = self._start_load(server, connections=16, seconds=self.soak_minutes * 60)
            time.sleep(self.soak_minutes * 30)
            half = server.resident_bytes("Anonymous")
            time.sleep(self.soak_minutes * 30 - 2)
            whole = server.resident_bytes("Anonymous")
            found = _result(load)
        answered, failed, why = _failures(found)
        yield Figure(
            f"{self.soak_minutes:g} minutes of load",
            f"memory {half / 1e6:.1f} MB at half time, {whole / 1e6:.1f} MB at the end: "
            f"{whole / half - 1:+.1%}; {failed} failed{why}, {answered} answered",
            "3 %",
            abs(whole / half - 1) < 0.03 and failed == 0,
        )


def _result(load: subprocess.Popen[str]) -> dict[str, Any]:
    text = load.communicate()[0]
    found: dict[str, Any] = json.loads(text)
    return found


def _failures(found: dict[str, Any]) -> tuple[int, int, str]:
    """Numbers of answered and unanswered requests, and the reasons in brackets."""
    answered = found["statuses"].get("200", 0)
    reasons = {code: count for code, count in found["statuses"].items() if code != "200"}
    if found["lost"]:
        reasons["lost"] = found["lost"]
    why = ", ".join(f"{count} x {code}" for code, count in reasons.items())
    return answered, sum(reasons.values()), f" ({why})" if why else ""


def _rate(found: dict[str, Any]) -> float:
    return float(found["statuses"].get("200", 0) / found["seconds"])


def _percentile(found: dict[str, Any], share: int) -> float:
    latencies: list[float] = found["latencies_ms"]
    return latencies[min(len(latencies) - 1, len(latencies) * share // 100)]


def _runs(rates: list[int], least: float) -> Iterator[list[int]]:
    """Yield runs of consecutive seconds with a lower rate."""
    run: list[int] = []
    for each in [*rates, least]:
        if each < least:
            run.append(int(each))
        elif run:
            yield run
            run = []


def _address(server: Server) -> tuple[str, int]:
    host, _, port = server.url.rpartition("/")[2].rpartition(":")
    return host, int(port)


def _held_request(server: Server, photo: bytes) -> socket.socket:
    connection = socket.create_connection(_address(server))
    head = "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    connection.sendall((head % len(photo)).encode() + photo)
    return connection


def _folder_of(bundle: str) -> Path:
    inside = Path(bundle, "model.bundle")
    return inside if inside.is_dir() else Path(bundle)


FIGURES = (
    "ready",
    "cpu",
    "latency",
    "kills",
    "overload",
    "refusal",
    "reload",
    "sigterm",
    "memory",
    "soak",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=FIGURES)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--soak-minutes", type=float, default=10)
    arguments = parser.parse_args()
    print(describe_machine("uvicorn", "httptools", "uvloop", "onnxruntime", "openvino"), flush=True)
    benchmark = Benchmark(arguments)
    for name in arguments.only:
        measure: Callable[[], Iterator[Figure]] = getattr(benchmark, name)
        for each in measure():
            bar = f"bar {each.bar}: {'met' if each.is_met else 'MISSED'}" if each.bar else ""
            print(f"{each.name:<32} {each.text}  {bar}", flush=True)


if __name__ == "__main__":
    main()
