"""What each augmentation and trick is worth on a few thousand photos: one table, resumable.

    python benchmarks/ablation.py PHOTOS --out RUNS [--seeds 1] [--epochs 12] [--image-size 96]

One network per row and seed, from scratch, each the same recipe but for one thing; every run is a
folder of RUNS, and what is there already is not trained again. Differences are in points of the
test's top-1 against the plain row; on some hundred test photos one run is good to two points, so
that only large ones mean something.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from machine import describe_machine

ROWS: dict[str, list[str]] = {
    "plain": [],
    "RandAugment": ["augment=randaugment"],
    "AutoAugment": ["augment=autoaugment"],
    "TrivialAugment": ["augment=trivialaugment"],
    "random erasing 0.25": ["random_erasing=0.25"],
    "mixup 0.2": ["mixup=0.2"],
    "CutMix 1.0": ["cutmix=1.0"],
    "moving average 0.99": ["ema=0.99"],
    "growing from half": ["progressive_resizing=0.5"],
    "BatchNorm measured anew": ["recalibrate_batchnorm=1024"],
    "dropout 0.2": ["dropout=0.2"],
    "no label smoothing": ["label_smoothing=0"],
    "no flip": ["horizontal_flip=false"],
    "gradient clip 1": ["gradient_clip=1"],
    "focal loss": ["loss=focal"],
    "class weights": ["class_weights=balanced"],
    "balanced sampling": ["balanced_sampling=true"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--model", default="pplcnet_x0_25")
    parser.add_argument("--image-size", default="96")
    parser.add_argument("--epochs", default="12")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    arguments = parser.parse_args()
    print(describe_machine("keras", "tensorflow-cpu"))
    for seed in range(arguments.seeds):
        for row in arguments.rows:
            train(row, seed, arguments)
    print_table(arguments)


def evaluation_of(row: str, seed: int, out: Path) -> Path:
    return out / f"{row.replace(' ', '_')}-{seed}" / "evaluation" / "evaluation.json"


def train(row: str, seed: int, arguments: argparse.Namespace) -> None:
    """One run, if it is not there; a stopped one goes on."""
    evaluation = evaluation_of(row, seed, arguments.out)
    if evaluation.is_file():
        return
    run = evaluation.parent.parent
    settings = [each for setting in [*ROWS[row], f"seed={seed}"] for each in ("--set", setting)]
    resume = ["--resume"] if (run / "run.json").is_file() else []
    subprocess.run(
        [sys.executable, "-m", "pplcnet", "train", arguments.photos, "--model", arguments.model,
         "--image-size", arguments.image_size, "--epochs", arguments.epochs, *settings,
         "--out", str(run), *resume],
        check=True,
    )  # fmt: skip


def print_table(arguments: argparse.Namespace) -> None:
    def top1(row: str) -> list[float]:
        return [
            json.loads(evaluation_of(row, seed, arguments.out).read_text())["top1"]
            for seed in range(arguments.seeds)
        ]

    plain = statistics.mean(top1("plain")) if "plain" in arguments.rows else None
    for row in arguments.rows:
        found = top1(row)
        mean = statistics.mean(found)
        points = "" if plain is None else f"{(mean - plain) * 100:+5.1f} points"
        print(f"{row:<26} {mean:.3f}  {points}  ({', '.join(f'{each:.3f}' for each in found)})")


if __name__ == "__main__":
    main()
