"""Measure test top-1 on a few thousand photos: the table of docs/benchmarks.md.

    python benchmarks/clothing_accuracy.py PHOTOS --backbone FILE --teacher BUNDLE --out RUNS
    python benchmarks/clothing_accuracy.py PHOTOS --out RUNS --rows "scratch x0_35" --seeds 1

Trains each row once per seed with `pplcnet train`, in a separate process and folder. Finished runs
are not repeated and stopped ones continue, so the command can be restarted at any time. Prints the
mean and spread of test top-1, and the time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe_machine

SCRATCH = ["--recipe", "scratch", "--image-size", "160", "--epochs", "30"]
ROWS = {
    "scratch x0_25": [*SCRATCH, "--model", "pplcnet_x0_25"],
    "distilled x0_25": [*SCRATCH, "--model", "pplcnet_x0_25", "--teacher", "TEACHER"],
    "scratch x0_35": [*SCRATCH, "--model", "pplcnet_x0_35"],
    "scratch x1_0": [*SCRATCH, "--model", "pplcnet_x1_0"],
    "backbone x0_35": ["--model", "pplcnet_x0_35", "--image-size", "160", "--weights", "BACKBONE"],
    "scratch mobilenetv3 small x0_35": [*SCRATCH, "--model", "mobilenetv3_small_x0_35"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument(
        "--backbone", "--trunk", help="weights of pplcnet_x0_35 to fine-tune from", dest="backbone"
    )
    parser.add_argument("--teacher", help="bundle that the distilled network learns from")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    arguments = parser.parse_args()
    given = {"BACKBONE": arguments.backbone, "TEACHER": arguments.teacher}
    rows = [row for row in arguments.rows if all(given.get(each, True) for each in ROWS[row])]
    print(describe_machine("keras", "tensorflow-cpu"))
    for seed in range(arguments.seeds):
        for row in rows:
            train(row, seed, arguments)
    for row in rows:
        print(line(row, arguments))


def folder_of(row: str, seed: int, out: Path) -> Path:
    return out / f"{row.replace(' ', '_')}-{seed}"


def train(row: str, seed: int, arguments: argparse.Namespace) -> None:
    """Train one row with one seed, unless it is finished; seconds.json records its times."""
    out = folder_of(row, seed, arguments.out)
    if (out / "evaluation" / "evaluation.json").is_file():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    times = out.with_suffix(".seconds.json")
    files = {"BACKBONE": arguments.backbone, "TEACHER": arguments.teacher}
    settings = [files.get(each, each) for each in ROWS[row]]
    verb = "distill" if "TEACHER" in ROWS[row] else "train"
    resume = ["--resume"] if (out / "run.json").is_file() else []
    started = time.perf_counter()
    try:
        subprocess.run(
            [sys.executable, "-m", "pplcnet", verb, arguments.photos, *settings,
             "--set", f"seed={seed}", "--out", str(out), *resume],
            check=True,
        )  # fmt: skip
    finally:
        before = json.loads(times.read_text()) if times.is_file() else []
        times.write_text(json.dumps([*before, round(time.perf_counter() - started, 1)]))


def line(row: str, arguments: argparse.Namespace) -> str:
    found, minutes = [], []
    for seed in range(arguments.seeds):
        out = folder_of(row, seed, arguments.out)
        evaluation = json.loads((out / "evaluation" / "evaluation.json").read_text())
        found.append(evaluation["top1"])
        times = out.with_suffix(".seconds.json")
        if times.is_file():
            minutes.append(sum(json.loads(times.read_text())) / 60)
    each = ", ".join(f"{top1:.3f}" for top1 in found)
    return (
        f"{row:<34} {statistics.mean(found):.3f}  ({each})  "
        f"{statistics.median(minutes):.1f} minutes"
    )


if __name__ == "__main__":
    main()
