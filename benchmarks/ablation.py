"""Measure what each training technique is worth on a few thousand photos; resumable.

    python benchmarks/ablation.py PHOTOS --weights BACKBONE.npz --out RUNS [--seeds 3]
    python benchmarks/ablation.py PHOTOS --model pplcnet_x0_25 --epochs 30 --out RUNS

Trains one network per row and seed, each with one change to the plain recipe. Every run has its own
folder in RUNS, and finished runs are not repeated. The plain recipe has a random crop and a flip;
with weights, the head is trained first. Differences are in points of test top-1 against the plain
run of the same seed, as mean and standard error over the seeds. One seed of short training from
scratch says little: how fast a run gets going changes its top-1 by ten points or more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from machine import describe_machine

PLAIN = ["label_smoothing=0", "dropout=0", "ema=0", "crop_scale=0.6,1"]
PLAIN_WITH_WEIGHTS = [*PLAIN, "head_epochs=20"]
ROWS: dict[str, list[str]] = {
    "plain": [],
    "crops from 0.35": ["crop_scale=0.35,1"],
    "no flip": ["horizontal_flip=false"],
    "RandAugment": ["augment=randaugment"],
    "AutoAugment": ["augment=autoaugment"],
    "TrivialAugment": ["augment=trivialaugment"],
    "random erasing 0.25": ["random_erasing=0.25"],
    "mixup 0.2": ["mixup=0.2"],
    "CutMix 1.0": ["cutmix=1.0"],
    "label smoothing 0.1": ["label_smoothing=0.1"],
    "dropout 0.2": ["dropout=0.2"],
    "moving average 0.99": ["ema=0.99"],
    "BatchNorm by running averages": ["recalibrate_batchnorm=0"],
    "growing from half": ["progressive_resizing=0.5"],
    "tested at 8/7 of the pixels": ["test_image_size=LARGER"],
    "gradient clip 1": ["gradient_clip=1"],
    "gradient accumulation 2": ["gradient_accumulation=2"],
    "early stopping 3": ["early_stopping=3"],
    "focal loss": ["loss=focal"],
    "class weights": ["class_weights=balanced"],
    "balanced sampling": ["balanced_sampling=true"],
}
WITH_WEIGHTS: dict[str, list[str]] = {
    "no head first": ["head_epochs=0"],
    "layer decay 0.9": ["layer_decay=0.9"],
    "recipe finetune": ["crop_scale=0.35,1", "dropout=0.2", "label_smoothing=0.1", "ema=0.99"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--weights", help="what every run starts from; default: from scratch")
    parser.add_argument("--model", default="pplcnet_x0_35")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", default="12")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", nargs="*", choices=ROWS | WITH_WEIGHTS)
    arguments = parser.parse_args()
    every = ROWS | WITH_WEIGHTS if arguments.weights else ROWS
    rows = [row for row in every if row == "plain" or row in (arguments.rows or every)]
    print(describe_machine("keras", "tensorflow-cpu"))
    for seed in range(arguments.seeds):
        for row in rows:
            train(row, every[row], seed, arguments)
    print_table(rows, arguments)


def evaluation_of(row: str, seed: int, out: Path) -> Path:
    return out / f"{row.replace(' ', '_').replace('/', '_')}-{seed}" / "evaluation/evaluation.json"


def train(row: str, settings: list[str], seed: int, arguments: argparse.Namespace) -> None:
    """Train one row with one seed, unless it is finished; a stopped run continues."""
    evaluation = evaluation_of(row, seed, arguments.out)
    if evaluation.is_file():
        return
    run = evaluation.parent.parent
    plain = PLAIN_WITH_WEIGHTS if arguments.weights else PLAIN
    larger = str(arguments.image_size * 8 // 7)
    fields = dict(each.split("=") for each in [*plain, *settings, f"seed={seed}"])
    options = [
        each
        for name, value in fields.items()
        for each in ("--set", f"{name}={value.replace('LARGER', larger)}")
    ]
    weights = ["--weights", arguments.weights or "none"]
    resume = ["--resume"] if (run / "run.json").is_file() else []
    subprocess.run(
        [sys.executable, "-m", "pplcnet", "train", arguments.photos, "--model", arguments.model,
         "--image-size", str(arguments.image_size), "--epochs", arguments.epochs, *weights,
         *options, "--out", str(run), *resume],
        check=True,
    )  # fmt: skip


def print_table(rows: list[str], arguments: argparse.Namespace) -> None:
    def top1(row: str) -> list[float]:
        return [
            json.loads(evaluation_of(row, seed, arguments.out).read_text())["top1"]
            for seed in range(arguments.seeds)
        ]

    plain = top1("plain")
    for row in rows:
        found = top1(row)
        points = [(one - other) * 100 for one, other in zip(found, plain, strict=True)]
        error = statistics.stdev(points) / len(points) ** 0.5 if len(points) > 1 else None
        spread = "" if error is None else f" ± {error:.1f}"
        print(
            f"{row:<28} {statistics.mean(found):.3f}  {statistics.mean(points):+5.1f}{spread} "
            f"points  ({', '.join(f'{each:.3f}' for each in found)})"
        )


if __name__ == "__main__":
    main()
