"""Evaluate a bundle on labelled photos, with the network and preprocessing that 'predict' uses.

Writes evaluation.md, evaluation.json, mistakes.csv, per_class.csv, confusion.csv and confusion.png
to --out; for multi-label bundles per_label.csv and labels.png in place of the last three.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.bundle import Bundle
from pplcnet.cli.arguments import BUNDLE_HELP, add_photos
from pplcnet.cli.console import Console
from pplcnet.cli.output import show, show_json, show_page
from pplcnet.cli.validation import add_skip_broken, note_training_photos, readable
from pplcnet.writable import check_writable

if TYPE_CHECKING:
    from pplcnet.reporting.subject import Subject

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    add_photos(parser)
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        help="split to evaluate on, by split.csv beside the bundle or the photos' own splits; "
        "default: test, else validation, else all photos",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where the files go; default: 'evaluation' beside the bundle for photos that its run "
        "held out, 'evaluation-PHOTOS' for others",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_skip_broken(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the files, print the figures."""
    from pplcnet.evaluation import evaluate
    from pplcnet.reporting.evaluation_files import describe, write_evaluation
    from pplcnet.reporting.subject import find_subject
    from pplcnet.runtime.classifier import Classifier

    classifier = Classifier(arguments.bundle)
    console = Console()
    subject = find_subject(
        Bundle.open(arguments.bundle), arguments.photos, arguments.split, console
    )
    split = subject.split
    out = Path(arguments.out) if arguments.out else _default_folder(subject, arguments.photos)
    check_writable(out)
    dataset = readable(subject.reported, arguments.skip_broken, console)
    subject = replace(subject, reported=dataset)
    evaluation = evaluate(
        classifier,
        dataset,
        progress=lambda each: console.watch(each, len(dataset), f"evaluate on {split}"),
    )
    written = write_evaluation(evaluation, out)
    note_training_photos(subject, console)
    if arguments.json:
        show_json(evaluation.to_dict(), indent=2)
    else:
        origin = " (split.csv of its run)" if subject.is_held_out else ""
        show(f"on {split} of {arguments.photos}{origin}:")
        show_page(describe(evaluation))
        show(f"written to {out}: {', '.join(path.name for path in written)}")
    if not any(path.suffix == ".png" for path in written):
        console.say(
            "note: no picture was drawn: that needs matplotlib (pip install 'pplcnet[report]')."
        )
    return 0


def _default_folder(subject: Subject, photos: str) -> Path:
    """Beside the bundle; figures of other photos do not take the place of the run's own."""
    name = "evaluation" if subject.is_held_out else f"evaluation-{Path(photos).resolve().stem}"
    return subject.folder / name
