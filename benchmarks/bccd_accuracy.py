"""Measure a detector's test AP on BCCD for different initial weights.

    python benchmarks/bccd_accuracy.py BCCD --coco FILE --trunk FILE --out RUNS
    python benchmarks/bccd_accuracy.py BCCD --out RUNS --rows fractal none --seeds 1

Trains PicoDet XS at 320 for 15 epochs, once per row and seed, with `pplcnet train` in a separate
process and folder. The rows start from the weights of a whole detector (coco), from those of a
detector's trunk (trunk), from the backbone that ships with pplcnet (fractal), and from random
values (none); the last three use the recipe for an untrained head. Finished runs are not repeated
and stopped ones continue. Prints the mean and the range of test AP.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from machine import describe_machine

COMMON = ["--model", "picodet_xs", "--image-size", "320", "--epochs", "15", "--skip-broken"]
ROWS = ("coco", "trunk", "fractal", "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--coco", help="weights of picodet_xs on COCO")
    parser.add_argument("--trunk", help="weights of pplcnet_x0_35, without a neck and a head")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    arguments = parser.parse_args()
    weights = {"coco": arguments.coco, "trunk": arguments.trunk, "fractal": "fractal",
               "none": "none"}  # fmt: skip
    rows = [row for row in arguments.rows if weights[row]]
    print(describe_machine("keras", "tensorflow-cpu"))
    for seed in range(arguments.seeds):
        for row in rows:
            train(arguments, row, weights[row], seed)
    print(f"{'start':<10} {'AP':>6} {'lowest':>7} {'highest':>8} {'AP50':>6}")
    for row in rows:
        found = [evaluation(arguments.out, row, seed) for seed in range(arguments.seeds)]
        values = [each["box_map"] for each in found]
        mean_50 = statistics.mean(each["ap50"] for each in found)
        print(
            f"{row:<10} {statistics.mean(values):6.3f} {min(values):7.3f} {max(values):8.3f} "
            f"{mean_50:6.3f}"
        )


def folder_of(out: Path, row: str, seed: int) -> Path:
    return out / f"{row}-{seed}"


def evaluation(out: Path, row: str, seed: int) -> dict[str, float]:
    path = folder_of(out, row, seed) / "evaluation" / "evaluation.json"
    found: dict[str, float] = json.loads(path.read_text())
    return found


def train(arguments: argparse.Namespace, row: str, weights: str, seed: int) -> None:
    """Train one row with one seed, unless it is finished."""
    out = folder_of(arguments.out, row, seed)
    if (out / "evaluation" / "evaluation.json").is_file():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    # The file does not say whether it includes a head.
    recipe = ["--recipe", "picodet-scratch"] if row == "trunk" else []
    resume = ["--resume"] if (out / "run.json").is_file() else []
    subprocess.run(
        [sys.executable, "-m", "pplcnet", "train", arguments.photos, *COMMON,
         *recipe, "--weights", weights, "--set", f"seed={seed}", "--out", str(out), *resume],
        check=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
