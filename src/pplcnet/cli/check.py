"""Check labelled photos for faults, near-duplicates and leakage between splits.

Exit code 0 if nothing is wrong, 1 if problems were found, 2 if the input is not a data set.
Near-duplicates need imagehash: pip install 'pplcnet[report]'.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from pplcnet.cli.arguments import add_photos
from pplcnet.cli.console import Console
from pplcnet.cli.output import show, show_json
from pplcnet.errors import require
from pplcnet.system.wording import counted, json_text

if TYPE_CHECKING:
    from pplcnet.data.check import Check

__all__ = ["add_arguments", "run"]

SHOWN = 10
# The keys of `Check.to_dict`.
JSON_KEYS = {
    "photos": "the path that was checked",
    "images": "number of photos, readable or not",
    "classes": "names",
    "digest": "sha256 over names, labels and contents, as in a bundle's manifest",
    "counts": "number of images by class and split; without splits, the split is 'all'",
    "problems": "list of {kind, text, images}; the exit code is 1 if there are any",
    "notes": "list of sentences",
    "near_duplicates": "list of groups, each a list of {name, label, split}; null where "
    "imagehash is not installed",
    "sizes": "short_side (pixels), megapixels and aspect (width / height), each {least, "
    "quartiles, most}, and histogram {edges, counts}",
}
# How to print a measure: its name and its decimals.
SIZES = {
    "short_side": ("short side (pixels)  ", 0),
    "megapixels": ("megapixels           ", 2),
    "aspect": ("aspect (width/height)", 2),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_photos(parser)
    parser.add_argument(
        "--html", metavar="FILE.html", help="write a page with pictures and histograms"
    )
    parser.add_argument(
        "--json",
        metavar="FILE.json",
        help="write everything as JSON; - prints it instead of the text",
    )
    width = max(map(len, JSON_KEYS)) + 2
    keys = "\n".join(f"  {key:<{width}}{text}" for key, text in JSON_KEYS.items())
    parser.epilog = f"the keys of --json:\n{keys}"


def run(arguments: argparse.Namespace) -> int:
    """Check, print and write; returns 1 if the photos have problems."""
    from pplcnet.data.check import check
    from pplcnet.data.dataset import Dataset
    from pplcnet.system.files import check_file, write_text
    from pplcnet.system.processor import available_cores
    from pplcnet.tasks import find

    for name in (arguments.html, arguments.json):
        if name not in (None, "-"):
            check_file(name)
    if arguments.html is not None:
        require("jinja2", purpose="writing the page", extra="report")
        require("matplotlib", purpose="drawing histograms", extra="report")
    console = Console()
    dataset = Dataset.open(arguments.photos)
    checked = check(
        dataset,
        find(dataset.task),
        workers=available_cores(),
        progress=lambda looks, total: console.watch(looks, total, "check"),
    )
    text = json_text(checked.to_dict(), indent=2) + "\n"
    if arguments.json == "-":
        show_json(checked.to_dict(), indent=2)
    else:
        for line in _described(checked):
            show(line)
    if arguments.json not in (None, "-"):
        console.say(f"written to {write_text(arguments.json, text)}")
    if arguments.html is not None:
        from pplcnet.reports.check_page import check_page

        console.say(f"written to {write_text(arguments.html, check_page(checked))}")
    return 1 if checked.problems else 0


def _described(checked: Check) -> list[str]:
    dataset, splits = checked.dataset, checked.splits
    lines = [
        f"{checked.place}: {counted(len(dataset), 'photo')} in "
        f"{counted(len(dataset.classes), 'class', 'classes')}, digest "
        f"{checked.audit.digest[:12]}"
    ]
    columns = [*splits, "sum"] if len(splits) > 1 else list(splits)
    width = max(len(name) for name in (*dataset.classes, "class"))
    lines.append(f"{'class':<{width}}" + "".join(f"{each:>12}" for each in columns))
    for name, row in checked.counts().items():
        numbers = [*row.values(), sum(row.values())][: len(columns)]
        lines.append(f"{name:<{width}}" + "".join(f"{each:>12}" for each in numbers))
    for name, values in checked.to_dict()["sizes"].items():
        if values["quartiles"]:
            text, digits = SIZES[name]
            low, _, high = (f"{each:.{digits}f}" for each in values["quartiles"])
            least, most = (f"{values[name]:.{digits}f}" for name in ("least", "most"))
            same = f"{text}  {least} in every photo"
            spread = f"{text}  {least} to {most}, the middle half {low} to {high}"
            lines.append(same if least == most else spread)
    lines += [f"note: {note}" for note in checked.notes]
    return [*lines, *_problem_lines(checked)]


def _problem_lines(checked: Check) -> list[str]:
    problems = checked.problems
    if not problems:
        return ["no problems found."]
    lines = [f"{counted(len(problems), 'problem')}:"]
    for kind, count in Counter(each.kind for each in problems).items():
        texts = [each.text for each in problems if each.kind == kind]
        lines += [f"  {text}" for text in texts[:SHOWN]]
        if count > SHOWN:
            lines.append(f"  ... and {count - SHOWN} more of this kind (--json has all)")
    return lines
