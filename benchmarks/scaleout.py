"""Measure what `pplcnet classify` costs compared with `predict_many`, and estimate it at scale.

    python benchmarks/scaleout.py cpu BUNDLE PHOTOS [--count 4000] [--turns 3] [--on local ray]
    python benchmarks/scaleout.py first BUNDLE PHOTOS [--on local ray]
    python benchmarks/scaleout.py plan [--names 1000000]
    python benchmarks/scaleout.py driver [--shards 20000]
    python benchmarks/scaleout.py raydata BUNDLE PHOTOS [--count 2000]
    python benchmarks/scaleout.py paper [--photos 1e9] [--cores 1000] [--cpu-ms 5.5]

cpu      CPU per photo, from the difference between jobs of N and 3 N photos, so start-up does not
         count. All work on the machine is counted, so nothing else may run.
first    seconds from the command to the first part.
plan     seconds and peak memory of planning this many names, in shuffled order.
driver   the driver's CPU per shard, with workers that do nothing.
raydata  the same photos through read_images(...).map_batches(...).write_parquet(...), as Ray Data's
         documentation has it: photos/s, and the rows that remain if one photo is broken.
paper    a simulation: time, requests and cost of a very large job, and what runs out first.

Linux. An idle machine is needed for `cpu`, `first` and `raydata`.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from machine import describe_machine

from pplcnet.data.image_files import find_images
from pplcnet.jobs.driver import Died, Driver, Limits, Progress, Ready
from pplcnet.jobs.plan import Shard, plan_shards
from pplcnet.jobs.storage import Folder
from pplcnet.jobs.worker import Done, Outcome

PREDICT_MANY = """
import sys, pplcnet
names = open(sys.argv[2]).read().splitlines()
with pplcnet.load(sys.argv[1]) as model:
    print(sum(each.error is None for each in model.predict_many(names)))
"""
RAY_DATA = """
import sys, ray, pplcnet
ray.init(*sys.argv[4:] or ["local"], include_dashboard=None if sys.argv[4:] else False)
photos = ray.data.read_images(sys.argv[2], mode="RGB", include_paths=True)
photos.map_batches(
    pplcnet.BatchClassifier, fn_constructor_args=[sys.argv[1]], concurrency=1, num_cpus=1
).write_parquet(sys.argv[3])
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("cpu", "first", "plan", "driver", "raydata", "paper"))
    parser.add_argument("bundle", nargs="?")
    parser.add_argument("photo_folder", metavar="PHOTOS", nargs="?")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--on", nargs="+", default=["local", "ray"])
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=20_000)
    paper = parser.add_argument_group("paper")
    paper.add_argument("--photos", type=float, default=1e9)
    paper.add_argument("--cores", type=int, default=1000)
    paper.add_argument("--cpu-ms", type=float, default=5.5, help="a photo, as `cpu` measures")
    paper.add_argument("--photo-kb", type=float, default=100.0)
    paper.add_argument("--shard-photos", type=int, default=2000)
    paper.add_argument("--part-kb", type=float, default=40.0)
    paper.add_argument("--driver-ms", type=float, default=1.0, help="a shard, as `driver` measures")
    paper.add_argument("--page-ms", type=float, default=90.0, help="a page of 1000 names")
    paper.add_argument("--listers", type=int, default=16, help="folders listed side by side")
    paper.add_argument("--hours-between-losses", type=float, default=100.0, help="of a core")
    paper.add_argument("--core-hour", type=float, default=0.02, help="price of a core for an hour")
    paper.add_argument("--gets", type=float, default=0.0004, help="price of 1000 GET requests")
    paper.add_argument("--puts", type=float, default=0.005, help="price of 1000 PUT and LIST")
    paper.add_argument("--cores-a-machine", type=int, default=16)
    paper.add_argument("--gbit-a-machine", type=float, default=10.0)
    arguments = parser.parse_args()
    if arguments.what in ("cpu", "first", "raydata") and not arguments.photo_folder:
        parser.error(f"{arguments.what} needs BUNDLE and PHOTOS")
    print(describe_machine("onnxruntime", "pyarrow", "ray"))
    globals()[f"measure_{arguments.what}"](arguments)


def machine_cpu() -> float:
    """Seconds that all cores have worked since boot.

    Ray's workers are children of a process that does not wait for them, so the system adds
    their time to no process.
    """
    user, nice, system, _, _, irq, soft_irq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + soft_irq) / os.sysconf("SC_CLK_TCK")


def run(*command: object, check: bool = True) -> tuple[float, float]:
    """Wall seconds of a command, and CPU seconds of the machine during it."""
    before, begun = machine_cpu(), time.perf_counter()
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    seconds, spent = time.perf_counter() - begun, machine_cpu() - before
    if check and done.returncode:
        raise SystemExit(done.stderr.decode())
    return seconds, spent


def name_list(arguments: argparse.Namespace, folder: Path, count: int) -> Path:
    photos = itertools.cycle(photo.resolve() for photo in find_images(arguments.photo_folder))
    path = folder / f"{count}.txt"
    path.write_text("\n".join(map(str, itertools.islice(photos, count))))
    return path


def classify(bundle: str, source: Path, job: Path, on: str) -> list[object]:
    return [sys.executable, "-m", "pplcnet", "classify", bundle, source, "--out", job, "--on", on]


def measure_cpu(arguments: argparse.Namespace) -> None:
    count = arguments.count
    found: dict[str, list[float]] = {}
    for turn in range(arguments.turns):
        for way in ("predict_many", *arguments.on):
            seconds = []
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                for number in (count, 3 * count):
                    names = name_list(arguments, folder, number)
                    command = [sys.executable, "-c", PREDICT_MANY, arguments.bundle, names]
                    if way != "predict_many":
                        command = classify(arguments.bundle, names, folder / f"{number}", way)
                        # Small, so that even the shorter job has a shard for every worker.
                        command += ["--shard-photos", "200"]
                    seconds.append(run(*command)[1])
            found.setdefault(way, []).append((seconds[1] - seconds[0]) / (2 * count) * 1000)
            print(f"turn {turn + 1}  {way:<12}  {found[way][-1]:.3f} ms of CPU a photo", flush=True)
    reference = statistics.median(found["predict_many"])
    for way, each in found.items():
        middle = statistics.median(each)
        print(f"{way:<12}  {middle:.3f} ms  {middle / reference:.3f} of predict_many")


def measure_first(arguments: argparse.Namespace) -> None:
    for on in arguments.on:
        with tempfile.TemporaryDirectory() as temporary:
            job = Path(temporary, "JOB")
            names = name_list(arguments, Path(temporary), arguments.count)
            begun = time.perf_counter()
            with subprocess.Popen(
                list(map(str, classify(arguments.bundle, names, job, on))),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:
                while not any(job.glob("parts/part-*")) and process.poll() is None:
                    time.sleep(0.02)
                print(f"{on:<6} first part after {time.perf_counter() - begun:.1f} s", flush=True)


def shuffled_names(count: int) -> Iterator[bytes]:
    """Names in no order, without storing any: the step size shares no divisor with 10."""
    for number in range(count):
        at = number * 7_777_777 % count
        yield f"photos of 2026/{at % 1000:03d}/{at:012d} holiday.jpg".encode()


def measure_plan(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        plan = plan_shards(
            shuffled_names(arguments.names), Folder(folder), shard_photos=2000, is_sorted=True
        )
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{plan.photos} names in {plan.shards} shards: {seconds:.1f} s of CPU, "
          f"at most {peak:.0f} MiB resident, libraries included")  # fmt: skip


class Idle:
    """Workers that finish a shard the moment they get it."""

    def __init__(self, count: int) -> None:
        self._events: list[Ready | Died | tuple[int, Outcome]] = [Ready(at) for at in range(count)]

    def give(self, worker: int, shard: Shard) -> None:
        self._events.append((worker, Done(shard.number, len(shard.names), 0, 1.0, "here")))

    def events(self, seconds: float) -> list[Ready | Died | tuple[int, Outcome]]:
        found, self._events = self._events, []
        return found

    def describe(self) -> str:
        return "workers that do nothing"


def measure_driver(arguments: argparse.Namespace) -> None:
    shards = (Shard(number, []) for number in range(arguments.shards))
    progress = Progress(arguments.shards * 2000, arguments.shards)
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(Idle(1000), Folder(folder), progress, Limits(5, 0.01, 100), lambda _: None)
        begun = time.process_time()
        driver.run(shards)
    print(f"{(time.process_time() - begun) / arguments.shards * 1000:.3f} ms of CPU a shard")


def photo_folder(arguments: argparse.Namespace, temporary: str) -> tuple[Path, int]:
    """A folder of links, as Ray Data takes no list of repeated names; and their number."""
    folder = Path(temporary, "photos")
    folder.mkdir()
    names = name_list(arguments, Path(temporary), arguments.count).read_text().splitlines()
    for number, name in enumerate(names):
        (folder / f"{number:06d}{Path(name).suffix}").symlink_to(name)
    return folder, len(names)


def measure_raydata(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, count = photo_folder(arguments, temporary)
        ray_data = [sys.executable, "-c", RAY_DATA, arguments.bundle, folder]
        for title, command in (
            ("classify --on ray", classify(arguments.bundle, folder, Path(temporary, "a"), "ray")),
            ("Ray Data", [*ray_data, Path(temporary, "b")]),
        ):
            wall, cpu = run(*command)
            print(f"{title:<18} {count / wall:6.1f} photos/s with the start, {cpu:.1f} s of CPU")
        (folder / "broken.jpg").write_bytes(b"no photo")
        for title, command, place in (
            ("classify --on ray", classify(arguments.bundle, folder, Path(temporary, "c"), "ray"),
             "c/parts/*.parquet"),
            ("Ray Data", [*ray_data, Path(temporary, "d")], "d/*.parquet"),
        ):  # fmt: skip
            run(*command, check=False)
            rows = rows_of(Path(temporary), place)
            print(f"{title:<18} {rows} of {count + 1} rows with one broken photo")


def rows_of(folder: Path, pattern: str) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in folder.glob(pattern))


def measure_paper(arguments: argparse.Namespace) -> None:
    """Workers take a shard when free; the driver serves one at a time; cores get lost."""
    chance = random.Random(0)
    shards = round(arguments.photos / arguments.shard_photos)
    work = arguments.cpu_ms * arguments.shard_photos / 1000
    lost = 0
    driver_free = driver_busy = end = 0.0
    free, left = [0.0] * arguments.cores, shards
    while left:
        now = heapq.heappop(free)
        driver_free = max(driver_free, now) + arguments.driver_ms / 1000
        driver_busy += arguments.driver_ms / 1000
        seconds = work * chance.lognormvariate(-0.02, 0.2)
        failure = chance.expovariate(1 / (arguments.hours_between_losses * 3600))
        if failure < seconds:  # the core is back after two minutes; the shard is repeated
            lost += 1
            heapq.heappush(free, driver_free + failure + 120)
            continue
        left -= 1
        end = max(end, driver_free + seconds)
        heapq.heappush(free, driver_free + seconds)
    gets = arguments.photos * (1 + lost / shards) + 2 * shards
    lists = arguments.photos / 1000 + shards / 1000
    core_hours, photos_a_second = end * arguments.cores / 3600, arguments.photos / end
    machines = arguments.cores / arguments.cores_a_machine
    gbit = photos_a_second * arguments.photo_kb * 8 / 1e6 / machines
    driver_most = 1000 / arguments.driver_ms * arguments.shard_photos * arguments.cpu_ms / 1000
    network_most = arguments.gbit_a_machine * 1e6 / 8 / arguments.photo_kb * arguments.cpu_ms / 1000
    print(f"{arguments.photos:.3g} photos in {shards} shards on {arguments.cores} cores: "
          f"{end / 3600:.1f} h, {photos_a_second:.0f} photos/s, {lost} cores lost")  # fmt: skip
    print(f"cores {core_hours:.0f} h = {core_hours * arguments.core_hour:.0f}; GET and HEAD "
          f"{gets:.3g} = {gets / 1000 * arguments.gets:.0f}; PUT {shards} and LIST {lists:.3g} = "
          f"{(shards + lists) / 1000 * arguments.puts:.0f}")  # fmt: skip
    listing = arguments.photos / 1000 * arguments.page_ms / 3.6e6 / arguments.listers
    first = "the network" if network_most < arguments.cores_a_machine else "the driver"
    if listing > end / 3600:
        first = "listing, which takes longer than the work; give an inventory as a list"
    print(f"results {shards * arguments.part_kb / 1e6:.1f} GB; listing {listing:.1f} h")
    print(f"network {gbit:.2f} of {arguments.gbit_a_machine:g} Gbit/s a machine, driver "
          f"{driver_busy / end:.1%} busy")  # fmt: skip
    print(f"a machine's network feeds {network_most:.0f} cores, one driver {driver_most:.0f}")
    print(f"used up first: {first}")


if __name__ == "__main__":
    main()
