"""Evaluate a bundle on labelled photos, with the network and preprocessing that 'predict' uses.

Writes evaluation.md, evaluation.json, tables as CSV and a figure as PNG to --out: mistakes.csv,
per_class.csv, confusion.csv and confusion.png, or for multi-label bundles mistakes.csv,
per_label.csv and labels.png.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.arguments import BUNDLE_HELP, add_photos
from pplcnet.cli.console import Console, quiet_litert
from pplcnet.cli.looks import add_looks, check_looks, looking, looks_text
from pplcnet.cli.output import show, show_json, show_page
from pplcnet.cli.validation import add_skip_broken, note_training_photos, readable
from pplcnet.system.files import check_writable

if TYPE_CHECKING:
    from pplcnet.reports.evaluation_files import Source
    from pplcnet.reports.report_data import Subject

__all__ = ["add_arguments", "run"]

EVALUATION = "evaluation"
EVALUATION_LIMIT = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    add_photos(parser)
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        help="split to evaluate on, from split.csv next to the bundle or the photos' own splits; "
        "default: test, else validation, else all photos",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where the files go; default: next to the bundle, 'evaluation' for the split that its "
        "run evaluated, 'evaluation-SPLIT' for another, 'evaluation-PHOTOS' for other photos",
    )
    parser.add_argument(
        "--others",
        metavar="FOLDER",
        help="photos of other things: also measure how well their typicality separates them from "
        "PHOTOS",
    )
    add_looks(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_skip_broken(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the files and print the figures."""
    from pplcnet.reports.evaluation_files import (
        Source,
        describe,
        evaluation_facts,
        write_evaluation,
    )
    from pplcnet.reports.others import check_others, compare_with_others
    from pplcnet.reports.report_data import find_subject
    from pplcnet.runtime.model import load
    from pplcnet.tasks import find
    from pplcnet.tasks.evaluate import evaluate_and_keep

    model = load(arguments.bundle)
    check_looks(find(model.manifest.task).prediction, arguments)
    looks = looking(model, arguments)
    console = Console()
    subject = find_subject(
        Bundle.open(arguments.bundle), arguments.photos, arguments.split, console
    )
    split = subject.split
    source = Source(split, os.path.realpath(arguments.photos), looks_text(arguments))
    out = Path(arguments.out) if arguments.out else _default_folder(subject, source)
    check_writable(out)
    dataset = readable(subject.reported, arguments.skip_broken, console)
    subject = replace(subject, reported=dataset)
    if model.choice.engine == "litert":
        quiet_litert(subject.bundle)
    if arguments.others:
        check_others(model, arguments.others)
    evaluation, predictions = evaluate_and_keep(
        looks,
        dataset,
        progress=lambda each: console.watch(each, len(dataset), f"evaluate on {split}"),
    )
    others = None
    if arguments.others:
        others = compare_with_others(
            model,
            predictions,
            arguments.others,
            progress=lambda each, total: console.watch(each, total, "predict other photos"),
        )
    facts = evaluation_facts(evaluation, source)
    if others is not None:
        facts["others"] = others.to_dict()
    written = write_evaluation(evaluation, out, source, facts=facts)
    note_training_photos(subject, console)
    if arguments.json:
        show_json(facts, indent=2)
    else:
        origin = " (split.csv of its run)" if subject.is_held_out else ""
        how = f", {source.looked}" if source.looked else ""
        show(f"on {split} of {arguments.photos}{origin}{how}:")
        show_page(describe(evaluation))
        if others is not None:
            show(others.to_text())
        show(f"written to {out}: {', '.join(path.name for path in written)}")
    if not any(path.suffix == ".png" for path in written):
        console.say(
            "note: no plot was drawn: that needs matplotlib (pip install 'pplcnet[report]')."
        )
    return 0


def _default_folder(subject: Subject, source: Source) -> Path:
    """A folder beside the bundle without an evaluation of a different source."""
    if subject.is_whole_part:
        name = EVALUATION if source.split == subject.own_split else f"{EVALUATION}-{source.split}"
    else:
        part = "" if source.split == "all" else f"-{source.split}"
        name = f"{EVALUATION}-{Path(source.photos).stem}{part}"
    if source.looked:
        name += "-" + source.looked.replace(", ", "-").replace(" ", "")
    names = (name if at == 1 else f"{name}-{at}" for at in itertools.count(1))
    return next(each for each in map(subject.folder.joinpath, names) if _is_free(each, source))


def _is_free(folder: Path, source: Source) -> bool:
    """Whether a folder holds no evaluation, or one of the same source."""
    try:
        with (folder / "evaluation.json").open("rb") as file:
            found = json.loads(file.read(EVALUATION_LIMIT))
        return bool((found["split"], found["photos"], found.get("looked", "")) == source)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
