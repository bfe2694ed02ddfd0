"""Evaluate a bundle on labelled photos, the deployed way.

Writes evaluation.md, evaluation.json, mistakes.csv, and per_class.csv, confusion.csv and
confusion.png (or, for several labels a photo, per_label.csv and labels.png) to --out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pplcnet.cli.console import Console
from pplcnet.dataset import Dataset
from pplcnet.errors import InputError
from pplcnet.writable import check_writable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle folder or .zip")
    parser.add_argument("photos", metavar="PHOTOS", help="labelled photos, as 'train' takes them")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        help="part to use where the photos have splits; default: test, else validation, else all",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where the files go; default: evaluation, beside the bundle"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the files, print the figures."""
    from pplcnet.evaluation import evaluate
    from pplcnet.reporting.evaluation_files import describe, write_evaluation
    from pplcnet.runtime.classifier import Classifier

    classifier = Classifier(arguments.bundle)
    whole = Dataset.open(arguments.photos)
    dataset, split = _part(whole, arguments.split)
    out = Path(arguments.out or Path(arguments.bundle).resolve().parent / "evaluation")
    check_writable(out)
    console = Console()
    evaluation = evaluate(
        classifier,
        dataset,
        progress=lambda each: console.watch(each, len(dataset), f"evaluate on {split}"),
    )
    written = write_evaluation(evaluation, out)
    if arguments.json:
        print(json.dumps(evaluation.to_dict(), ensure_ascii=False, indent=2))
    else:
        print(f"on {split} of {whole.root}:")
        print(describe(evaluation))
        print(f"written to {out}: {', '.join(path.name for path in written)}")
    if not any(path.suffix == ".png" for path in written):
        console.say(
            "note: no picture was drawn: that needs matplotlib (pip install 'pplcnet[report]')."
        )
    return 0


def _part(dataset: Dataset, split: str | None) -> tuple[Dataset, str]:
    if split is None:
        split = next((s for s in ("test", "validation") if len(dataset.subset(s))), "all")
    part = dataset if split == "all" else dataset.subset(split)
    if not len(part):
        raise InputError(f"{dataset.root}: has no {split} split; --split all takes every image.")
    return part, split
