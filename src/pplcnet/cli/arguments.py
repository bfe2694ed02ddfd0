"""What the verbs' arguments share: photos and bundles, given in any of the accepted ways."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from pplcnet.cli.output import complain
from pplcnet.errors import InputError
from pplcnet.training.places import BUNDLE

__all__ = ["BUNDLE_HELP", "CHANGED_BUNDLE_HELP", "Parser", "add_photos", "add_photos_option"]

BUNDLE_HELP = "a bundle (a folder or a .zip), or the folder of a run"
CHANGED_BUNDLE_HELP = "the folder of a bundle or of a run"
PHOTOS_HELP = "labelled photos, as 'train' takes them"
# Arguments that name a bundle, among other things.
BUNDLES = ("bundle", "file", "teacher", "weights", "subjects")


def add_photos(
    parser: argparse.ArgumentParser, text: str = PHOTOS_HELP, name: str = "PHOTOS"
) -> None:
    """The photos that a verb is about: PHOTOS, or the same after --photos."""
    parser.add_argument("photos", metavar=name, nargs="?", help=text)
    parser.add_argument(
        "--photos", dest="photos_option", metavar=name, help=f"another way to give {name}"
    )


def add_photos_option(
    parser: argparse.ArgumentParser, text: str, *, older: str, required: bool = True
) -> None:
    """The photos of a verb that takes them after --photos; `older` is the option's former name."""
    parser.add_argument(
        "--photos",
        f"--{older}",
        dest=older,
        required=required,
        metavar="PHOTOS",
        help=text,
    )


class Parser(argparse.ArgumentParser):
    """Wrong arguments end in one `error:` line, as every other wrong input does.

    Options may stand anywhere between the other arguments. A run's folder stands for the bundle
    in it.
    """

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse; see the class."""
        parsed = self.parse_intermixed_args(_without_marker(list(args or ())), namespace)
        if hasattr(parsed, "photos_option"):
            self._settle_photos(parsed)
        for name in BUNDLES:
            given = getattr(parsed, name, None)
            if isinstance(given, str):
                setattr(parsed, name, _bundle_in(given))
            elif isinstance(given, list):
                setattr(parsed, name, [_bundle_in(each) for each in given])
        return parsed

    def error(self, message: str) -> NoReturn:
        """One line, and exit code 2."""
        complain(f"error: {message}; see '{self.prog} --help'.")
        raise SystemExit(2)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """After --help; a failed write is an error here, not later."""
        sys.stdout.flush()
        super().exit(status, message)

    def _settle_photos(self, parsed: argparse.Namespace) -> None:
        name = next(each.metavar for each in self._actions if each.dest == "photos")
        if parsed.photos and parsed.photos_option:
            self.error(f"{name} and --photos are two ways to give the same; use one")
        parsed.photos = parsed.photos or parsed.photos_option
        if not parsed.photos:
            self.error(f"the following arguments are required: {name}")


def _without_marker(args: list[str]) -> list[str]:
    """The same without "--", which argparse's free order cannot take: what follows are paths."""
    if "--" not in args:
        return args
    at = args.index("--")
    paths = [
        f"./{each}" if each.startswith("-") and each != "-" else each for each in args[at + 1 :]
    ]
    return [*args[:at], *paths]


def _bundle_in(given: str) -> str:
    """The bundle in a run's folder; anything else as it was given."""
    folder = Path(given)
    try:
        if (folder / BUNDLE).is_dir():
            return str(folder / BUNDLE)
        is_run = (folder / "run.json").is_file()
    except (OSError, ValueError):  # no name of a file at all, which the verb says better
        return given
    if is_run:
        raise InputError(
            f"{given}: the run has no bundle yet; finish it with 'pplcnet train ... --resume'."
        )
    return given
