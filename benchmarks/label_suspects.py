"""Measure how many deliberately wrong labels `pplcnet suspects` finds.

    python benchmarks/label_suspects.py PHOTOS --out FOLDER [--part 0.02] [--seed 0] [-- OPTIONS]

Writes FOLDER/flipped.csv, a table of the same photos in which a random fraction of the labels is
replaced by another class; the photos stay in place. Then runs `pplcnet suspects` on it in
FOLDER/run with OPTIONS, or resumes that run. Prints how many photos are listed, how many of the
wrong labels are among them, and how many are at the top of the list, looking at as many photos as
there are wrong labels; then the same for cleanlab's other methods. Labels that were wrong before
count against the list, since nobody knows them.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from machine import describe_machine

from pplcnet.data.dataset import Dataset

CHOICES = (
    "low_normalized_margin", "low_self_confidence", "confident_learning", "both",
    "prune_by_noise_rate", "prune_by_class", "predicted_neq_given",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--part", type=float, default=0.02, help="share of labels to make wrong")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="*", help="of pplcnet suspects, after --")
    arguments = parser.parse_args()
    dataset = Dataset.open(arguments.photos)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table, run = arguments.out / "flipped.csv", arguments.out / "run"
    flipped = write_flipped(dataset, table, arguments.part, arguments.seed)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pplcnet", "suspects", str(table), "--out", str(run),
         *arguments.options],
        check=True,
    )  # fmt: skip
    minutes = (time.perf_counter() - started) / 60
    with (run / "suspects.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    named = [row["path"] for row in rows]
    found = flipped.keys() & set(named)
    restored = sum(row["suggested"] == flipped.get(row["path"]) for row in rows)
    first = len(flipped.keys() & set(named[: len(flipped)]))
    print(describe_machine("keras", "tensorflow-cpu", "cleanlab"))
    print(
        f"{len(flipped)} of {len(dataset)} labels made wrong; {len(named)} photos named "
        f"({len(named) / len(flipped):.2f} times as many), {len(found)} of the wrong labels among "
        f"them (recall {len(found) / len(flipped):.3f}), {first} of these within the first "
        f"{len(flipped)}; for {restored} the suggestion is the label that it had; "
        f"{minutes:.1f} minutes"
    )
    compare_choices(run, [str(image.path) in flipped for image in Dataset.open(table).images])


def compare_choices(run: Path, is_flipped: list[bool]) -> None:
    """Print a line for each of cleanlab's methods, from the same probabilities."""
    with np.load(run / "probabilities.npz") as arrays:
        labels, probabilities = arrays["labels"], arrays["probabilities"]
    for choice in CHOICES:
        mask = find_label_issues(labels, probabilities, filter_by=choice, n_jobs=1)
        print(
            f"{choice:<22} {mask.sum():>4} named, {(mask & is_flipped).sum()} of the wrong labels"
        )


def write_flipped(dataset: Dataset, path: Path, part: float, seed: int) -> dict[str, str]:
    """Write the table; returns the path of each photo with a wrong label, and its true label."""
    generator = random.Random(seed)
    images = sorted(dataset.images, key=dataset.name_of)
    chosen = set(generator.sample(range(len(images)), max(1, round(part * len(images)))))
    flipped = {}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for at, image in enumerate(images):
            label, place = dataset.classes[image.shown[0]], str(image.path.resolve())
            if at in chosen:
                flipped[place] = label
                label = generator.choice([each for each in dataset.classes if each != label])
            writer.writerow([place, label])
    return flipped


if __name__ == "__main__":
    main()
