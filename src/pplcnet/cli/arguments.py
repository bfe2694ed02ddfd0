"""Arguments that several verbs share: photos and bundles, in any of the accepted forms."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from pplcnet.cli.output import complain
from pplcnet.errors import InputError
from pplcnet.training.names import BUNDLE

__all__ = [
    "BUNDLE_HELP", "CHANGED_BUNDLE_HELP", "MOST_THREADS", "Parser", "add_cluster", "add_engine",
    "add_photos", "add_photos_option", "add_threads", "number", "scales", "size", "whole",
]  # fmt: skip

BUNDLE_HELP = "a bundle (a folder or a .zip), or the folder of a run"
CHANGED_BUNDLE_HELP = "the folder of a bundle or of a run"
PHOTOS_HELP = "labelled photos, as 'train' takes them"
# Arguments that may name a bundle.
BUNDLES = ("bundle", "file", "teacher", "weights", "subjects")
# Arguments that name a file or folder to read, to write, or both.
READ = (
    *BUNDLES, "photos", "validation", "images", "calibration", "unlabelled", "classes", "suspects",
    "recipe", "gallery", "others", "source", "root",
)  # fmt: skip
# The same for inputs that are checked one by one: an invalid one does not stop the others.
ANSWERED = ("inputs", "more_inputs")
WRITTEN = (
    "out", "pack", "html", "json", "class_map", "probabilities", "detections", "logits", "draw",
)  # fmt: skip
PHOTO_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif",
)  # fmt: skip
MOST_THREADS = 1024


def add_photos(
    parser: argparse.ArgumentParser, text: str = PHOTOS_HELP, name: str = "PHOTOS"
) -> None:
    """Add the photos of a verb: PHOTOS, or the same after --photos."""
    parser.add_argument("photos", metavar=name, nargs="?", help=text)
    parser.add_argument(
        "--photos", dest="photos_option", metavar=name, help=f"{name}, given as an option"
    )


def add_photos_option(
    parser: argparse.ArgumentParser, text: str, *, older: str, required: bool = True
) -> None:
    """Add --photos, for verbs that take photos only there; `older` is the option's former name."""
    parser.add_argument(
        "--photos",
        f"--{older}",
        dest=older,
        required=required,
        metavar="PHOTOS",
        help=text,
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads, for verbs that run networks."""
    parser.add_argument(
        "--threads",
        type=whole(1, MOST_THREADS),
        metavar="N",
        help="number of cores to use; default: all",
    )


def add_cluster(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --on and --address, for verbs that can use a Ray cluster; `text` explains --on."""
    parser.add_argument("--on", choices=("local", "ray"), default="local", help=text)
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="with --on ray: the cluster's address, or auto for the one that this machine belongs "
        "to; default: RAY_ADDRESS, or a cluster of this machine alone",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add options for how a bundle's network runs: --engine, --precision and --trust-network."""
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="onnxruntime, openvino or litert; default: what 'tune' chose, else onnxruntime",
    )
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="float32, bfloat16, int8 or int8-bfloat16; default: what 'tune' chose, else float32",
    )
    parser.add_argument(
        "--trust-network",
        action="store_true",
        help="also run a network that pplcnet did not export; a malicious one can crash the "
        "engine, read other files or never finish",
    )


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`, in the digits 0 to 9."""

    def read(text: str) -> int:
        # int() alone accepts other digits and underscores, and thousands of them.
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} is not allowed; it must be a whole number from {low} to {high}"
            )
        return int(text)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a number from `low` to `high`, both inclusive."""

    def read(text: str) -> float:
        form = r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})(e[+-]?[0-9]{1,2})?"
        if not re.fullmatch(form, text, re.IGNORECASE) or not low <= float(text) <= high:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} is not allowed; it must be a number from {low:g} to {high:g}"
            )
        return float(text)

    return read


def size(text: str) -> tuple[int, int]:
    """An argument type: (height, width) in pixels, from `320` or `256x320`."""
    if not re.fullmatch(r"[0-9]{1,5}(x[0-9]{1,5})?", text):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not allowed; it must be a number of pixels, or HEIGHTxWIDTH in "
            "pixels"
        )
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def scales(text: str) -> tuple[float, ...]:
    """An argument type: `0.75,1,1.25`, up to 16 numbers from 0.1 to 10."""
    given = text.split(",")
    if len(given) > 16:
        raise argparse.ArgumentTypeError("has more than 16 scales")
    return tuple(dict.fromkeys(number(0.1, 10)(each.strip()) for each in given))


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong arguments in one `error:` line, like any other wrong input.

    Options may stand anywhere among the other arguments. A run's folder stands for the bundle
    inside it.
    """

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does; see the class."""
        parsed = self.parse_intermixed_args(_without_marker(list(args or ())), namespace)
        if hasattr(parsed, "photos_option"):
            self._settle_photos(parsed)
        given = [each for name in READ for each in _texts(getattr(parsed, name, None))]
        for name in BUNDLES:
            value = getattr(parsed, name, None)
            if isinstance(value, str):
                setattr(parsed, name, _bundle_in(value))
            elif isinstance(value, list):
                setattr(parsed, name, [_bundle_in(each) for each in value])
        self._check_places(parsed, given)
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        complain(f"error: {message}; see '{self.prog} --help'.")
        raise SystemExit(2)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit after --help; a failed write is reported here, not later."""
        sys.stdout.flush()
        super().exit(status, message)

    def _check_places(self, parsed: argparse.Namespace, given: list[str]) -> None:
        """Refuse empty names, devices and pipes, and outputs that would overwrite other files."""
        read = {*given, *(each for name in READ for each in _texts(getattr(parsed, name, None)))}
        written = [
            (each, action.metavar)
            for action in self._actions
            if action.dest in WRITTEN
            for each in _texts(getattr(parsed, action.dest))
        ]
        if "" in read or ("" in (place for place, _ in written)):
            self.error("the name of a file or folder is empty")
        answered = {each for name in ANSWERED for each in _texts(getattr(parsed, name, None))}
        for place in read:
            if _exists(place) and not (os.path.isdir(place) or os.path.isfile(place)):
                raise InputError(f"{place}: is a pipe or a device; give a file or folder.")
        for out, form in written:
            for place in read | answered:
                if _exists(out) and _exists(place) and os.path.samefile(out, place):
                    raise InputError(
                        f"{out}: is an input of this command; choose another place for the output."
                    )
            if _exists(out) and not (os.path.isdir(out) or os.path.isfile(out)):
                raise InputError(f"{out}: is a pipe or a device; give a file or folder.")
            ending = os.path.splitext(str(form))[1]
            if ending and os.path.isfile(out) and not out.lower().endswith(ending):
                raise InputError(
                    f"{out}: exists and is not a {ending} file; give a name that ends in {ending}."
                )

    def _settle_photos(self, parsed: argparse.Namespace) -> None:
        name = next(each.metavar for each in self._actions if each.dest == "photos")
        if parsed.photos and parsed.photos_option:
            self.error(f"{name} and --photos mean the same; give only one")
        parsed.photos = parsed.photos or parsed.photos_option
        if not parsed.photos and not getattr(parsed, "resume", False):  # a run knows its own photos
            self.error(f"the following arguments are required: {name}")


def _without_marker(args: list[str]) -> list[str]:
    """Drop "--", which `parse_intermixed_args` does not support; paths follow it."""
    if "--" not in args:
        return args
    at = args.index("--")
    paths = [
        f"./{each}" if each.startswith("-") and each != "-" else each for each in args[at + 1 :]
    ]
    return [*args[:at], *paths]


def _texts(given: object) -> list[str]:
    return [
        each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str)
    ]


def _exists(place: str) -> bool:
    try:
        return os.path.exists(place)
    except ValueError:
        return False


def _bundle_in(given: str) -> str:
    """The bundle in a run's folder; anything else unchanged."""
    inside = os.path.join(given, BUNDLE)
    try:
        if os.path.isdir(inside):
            return inside
        is_run = os.path.isfile(os.path.join(given, "run.json"))
    except (OSError, ValueError):  # not a valid path; the verb has a better message
        return given
    if is_run:
        raise InputError(
            f"{given}: the run has no bundle yet; finish it with: pplcnet train --resume "
            f"--out {shlex.quote(given)}"
        )
    return given
