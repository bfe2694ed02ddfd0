"""Measure test mIoU of segmenters within a time budget: the table of docs/benchmarks.md.

    python benchmarks/dubai_accuracy.py PHOTOS --backbone FILE --out RUNS
    python benchmarks/dubai_accuracy.py PHOTOS --out RUNS --rows "mobileseg x0_5" --epochs 30

PHOTOS has images and masks in train, val and test. Two short trainings of each row determine how
many epochs fit the budget, in minutes of CPU time of all cores together, from the start of
`pplcnet train` to its end, so other work on the machine does not shorten a training. --epochs
replaces the budget. Then each row is trained once per seed, in a separate process and folder.
Finished runs are not repeated and stopped ones continue, so the command can be restarted at any
time. Prints the test mIoU of the runs so far, their mean, and the CPU time. `rival_segmenter.py`
trains torchvision's network.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from machine import describe_machine

ROWS = {
    "mobileseg x0_5": ["--model", "mobileseg_pplcnet_x0_5", "--weights", "none"],
    "lraspp x0_5": ["--model", "lraspp_pplcnet_x0_5", "--weights", "none"],
    "deeplabv3p x0_5": ["--model", "deeplabv3p_pplcnet_x0_5", "--weights", "none"],
    "mobileseg x0_5, fractal": ["--model", "mobileseg_pplcnet_x0_5", "--weights", "fractal"],
    "mobileseg x0_35, backbone": ["--model", "mobileseg_pplcnet_x0_35", "--weights", "BACKBONE"],
    "lraspp x0_35, backbone": ["--model", "lraspp_pplcnet_x0_35", "--weights", "BACKBONE"],
    "deeplabv3p x0_35, backbone": ["--model", "deeplabv3p_pplcnet_x0_35", "--weights", "BACKBONE"],
}
TIMED = 1, 4
"""Epochs of the two short trainings."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--backbone", help="weights of pplcnet_x0_35 to start from")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cpu-minutes", type=float, default=40)
    parser.add_argument("--epochs", type=int, help="of every row, in place of the budget")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--set", nargs="*", default=[], help="FIELD=VALUE for every row")
    arguments = parser.parse_args()
    rows = [row for row in arguments.rows if arguments.backbone or "BACKBONE" not in ROWS[row]]
    print(describe_machine("keras", "tensorflow-cpu"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    epochs = {row: epochs_of(row, arguments) for row in rows}
    for seed in arguments.seeds:
        for row in rows:
            train(row, epochs[row], seed, arguments)
    for row in rows:
        print(line(row, epochs[row], arguments.out))


def folder_of(row: str, name: object, out: Path) -> Path:
    return out / f"{row.replace(',', '').replace(' ', '_')}-{name}"


def epochs_of(row: str, arguments: argparse.Namespace) -> int:
    """The number of epochs that fit the budget; found once and kept in a file."""
    if arguments.epochs:
        return int(arguments.epochs)
    kept = folder_of(row, "epochs.json", arguments.out)
    if not kept.is_file():
        seconds = []
        for epochs in TIMED:
            train(row, epochs, "timing", arguments)
            folder = folder_of(row, "timing", arguments.out)
            seconds.append(json.loads(folder.with_suffix(".seconds.json").read_text())[0])
            shutil.rmtree(folder)
            folder.with_suffix(".seconds.json").unlink()
        each = (seconds[1] - seconds[0]) / (TIMED[1] - TIMED[0])
        count = TIMED[1] + int((arguments.cpu_minutes * 60 - seconds[1]) / each)
        kept.write_text(json.dumps(max(1, count)))
    return int(kept.read_text())


def train(row: str, epochs: int, name: object, arguments: argparse.Namespace) -> None:
    """Train one row, unless it is finished; NAME.seconds.json records its times."""
    out = folder_of(row, name, arguments.out)
    if (out / "evaluation" / "evaluation.json").is_file():
        return
    times = out.with_suffix(".seconds.json")
    settings = [{"BACKBONE": arguments.backbone}.get(each, each) for each in ROWS[row]]
    for each in (*arguments.set, f"seed={name if isinstance(name, int) else 0}"):
        settings += ["--set", each]
    resume = ["--resume"] if (out / "run.json").is_file() else []
    started = seconds_of_children()
    try:
        subprocess.run(
            [sys.executable, "-m", "pplcnet", "train", arguments.photos, *settings,
             "--epochs", str(epochs), "--out", str(out), *resume],
            check=True,
        )  # fmt: skip
    finally:
        before = json.loads(times.read_text()) if times.is_file() else []
        times.write_text(json.dumps([*before, round(seconds_of_children() - started, 1)]))


def seconds_of_children() -> float:
    """CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def line(row: str, epochs: int, out: Path) -> str:
    found, minutes = [], []
    for seed in range(100):
        folder = folder_of(row, seed, out)
        times = folder.with_suffix(".seconds.json")
        # Written at the end of a training; another process may still be training.
        if times.is_file() and (folder / "evaluation" / "evaluation.json").is_file():
            facts = json.loads((folder / "evaluation" / "evaluation.json").read_text())
            found.append(facts["miou"])
            minutes.append(sum(json.loads(times.read_text())) / 60)
    if not found:
        return f"{row:<28} no finished run"
    each = ", ".join(f"{miou:.3f}" for miou in found)
    return (
        f"{row:<28} {statistics.mean(found):.3f}  ({each})  {epochs} epochs, "
        f"{statistics.median(minutes):.1f} minutes of CPU time"
    )


if __name__ == "__main__":
    main()
