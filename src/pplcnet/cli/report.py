"""Everything about a bundle on labelled photos, as one HTML file that loads nothing.

What it was trained on, figures with their intervals, the confusion matrix with its photos, the most
confident mistakes with heat maps, calibration, reject thresholds, near-duplicates of training
photos, and every exported variant. Of several labels a photo: mAP, every label's right and wrong
answers with their photos, and how much is named at a wanted precision. What was trained on is read
from split.csv beside the bundle, or from the photos' own splits.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pplcnet.cli.arguments import BUNDLE_HELP, add_photos, number
from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.cli.validation import add_skip_broken, note_training_photos, readable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    add_photos(parser)
    parser.add_argument("--out", required=True, metavar="FILE.html", help="where it is written")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        help="part to report on where there are splits; default: test, else validation, else all",
    )
    parser.add_argument(
        "--suspects",
        metavar="FILE",
        help="the suspects.csv that 'pplcnet suspects' wrote, to show in the page. Default: the "
        "one beside the bundle, if any",
    )
    parser.add_argument(
        "--precision",
        action="append",
        type=number(0, 1),
        metavar="P",
        help="give a reject threshold (or, of several labels a photo, one to name them from) for "
        "this precision; may be repeated. "
        "Default: 0.9, 0.95 and 0.99",
    )
    add_skip_broken(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    out = Path(arguments.out)
    from pplcnet.bundle import Bundle
    from pplcnet.files import check_file, write_text
    from pplcnet.reporting.bundle_report import (
        PRECISIONS,
        bundle_report,
        check_precisions,
        require_report,
    )
    from pplcnet.reporting.sections import check_suspects
    from pplcnet.reporting.subject import find_subject

    check_file(out)
    require_report()
    precisions = arguments.precision or PRECISIONS
    check_precisions(precisions)
    suspects = None if arguments.suspects is None else Path(arguments.suspects)
    if suspects is not None:
        check_suspects(suspects)
    console = Console()
    subject = find_subject(
        Bundle.open(arguments.bundle), arguments.photos, arguments.split, console
    )
    subject = replace(
        subject,
        reported=readable(subject.reported, arguments.skip_broken, console),
        validation=readable(subject.validation, arguments.skip_broken, console),
    )
    note_training_photos(subject, console)
    page = bundle_report(
        subject,
        precisions=precisions,
        suspects=suspects,
        watcher=console,
        before_keras=lambda: quiet_frameworks("Grad-CAM"),
    )
    show(f"written to {write_text(out, page)}")
    return 0
