"""Evaluate a bundle on labelled photos and write a report as one self-contained HTML file.

The report shows the training data, figures with confidence intervals, the confusion matrix with its
photos, the most confident mistakes with heat maps, calibration, reject thresholds, near-duplicates
of training photos, and every exported variant. For multi-label bundles it shows mAP, the right and
wrong answers for each label with their photos, and recall at a given precision. The training photos
are known from split.csv next to the bundle, or from the photos' own splits.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pplcnet.cli.arguments import BUNDLE_HELP, add_photos, number
from pplcnet.cli.console import Console, quiet_frameworks, quiet_litert
from pplcnet.cli.output import show
from pplcnet.cli.validation import add_skip_broken, note_training_photos, readable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    add_photos(parser)
    parser.add_argument("--out", required=True, metavar="FILE.html", help="the file to write")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        help="split to report on; default: test, else validation, else all photos",
    )
    parser.add_argument(
        "--suspects",
        metavar="FILE",
        help="a suspects.csv from 'pplcnet suspects' to include in the page. Default: the one next "
        "to the bundle, if any",
    )
    parser.add_argument(
        "--precision",
        action="append",
        type=number(0, 1),
        metavar="P",
        help="show the confidence threshold for this precision; may be repeated. Default: 0.9, "
        "0.95 and 0.99",
    )
    parser.add_argument(
        "--others",
        metavar="FOLDER",
        help="photos of other things: also measure how well their typicality separates them from "
        "PHOTOS",
    )
    add_skip_broken(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    out = Path(arguments.out)
    from pplcnet.bundle.bundle import Bundle
    from pplcnet.reports.report import PRECISIONS, bundle_report, check_precisions, require_report
    from pplcnet.reports.report_data import find_subject
    from pplcnet.reports.sections import check_suspects
    from pplcnet.system.files import check_file, write_text

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
    if subject.bundle.manifest.tuning:
        quiet_litert(subject.bundle)
    page = bundle_report(
        subject,
        precisions=precisions,
        suspects=suspects,
        others=None if arguments.others is None else Path(arguments.others),
        watcher=console,
        before_keras=lambda: quiet_frameworks("Grad-CAM"),
    )
    show(f"written to {write_text(out, page)}")
    return 0
