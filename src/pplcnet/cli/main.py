"""The command line: choose a verb, run it, turn errors into one line and an exit code.

Exit code 0: done. 2: the input is wrong, and one `error:` line says how. 1: a bug, with its
traceback; also when `check` found problems, and when `predict` has no answer for any photo (with
--strict: not for every photo). 3: another machine of a training ended. 130: stopped by Ctrl-C.
Results go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from pplcnet.cli.arguments import Parser
from pplcnet.cli.output import complain, show_page
from pplcnet.cli.streams import ReaderGone, surviving_streams
from pplcnet.errors import (
    InputError,
    NodeLost,
    PPLCNetError,
    TrainingInterrupted,
    UnknownNameError,
)

__all__ = ["VERBS", "main", "parser_of", "split_verb"]

# Only the chosen verb's module is imported, so that --help and predict start fast.
VERBS = {
    "train": "train, export and evaluate a network on your photos",
    "distill": "train a small network to imitate a larger one",
    "suspects": "find photos whose label is probably wrong",
    "check": "check labelled photos for errors, near-duplicates and leakage",
    "evaluate": "measure a bundle's accuracy on labelled photos",
    "report": "evaluate a bundle and write one HTML page about it",
    "export": "export a bundle to ONNX and compare it with Keras",
    "quantize": "add an INT8 network to a bundle, if its accuracy holds",
    "tune": "find the fastest way to run a bundle on this machine",
    "calibrate": "calibrate a bundle's probabilities",
    "convert": "convert a weights file to a bundle",
    "predict": "run a bundle on photos",
    "classify": "run a bundle on millions of photos, and resume after any interruption",
    "serve": "serve predictions over HTTP",
    "embed": "write the embeddings of photos to a file",
    "gallery build": "make a gallery that recognises new classes, without training",
    "gallery add": "add photos to a gallery",
    "gallery remove": "remove classes or photos from a gallery",
    "gallery search": "find the photos of a gallery that are most similar to a photo",
    "gallery index": "make searches in a very large gallery faster on this machine",
    "gallery evaluate": "measure a gallery on photos of its classes and of others",
    "gallery show": "show what a gallery contains and verify its checksums",
    "benchmark": "compare the speed of networks and engines on this machine",
    "inspect": "show what a bundle contains and verify its checksums",
    "models": "list the networks with their size and reported accuracy",
    "pretrain": "pretrain a backbone on pictures drawn by formulas",
    "demo": "try everything on digits or drawn shapes, without downloads",
}
# These print their result; the other verbs write files, and continue when nobody reads stdout.
PRINTING = (
    "predict", "gallery search", "gallery evaluate", "gallery show", "inspect", "models",
    "--version", "--help", "-h",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    is_result = not arguments or split_verb(arguments)[0] in PRINTING
    with surviving_streams(is_result=is_result) as has_stdout:
        try:
            if is_result and not has_stdout:
                raise InputError("stdout is closed, so there is nowhere to print the result.")
            return _run(arguments)
        except TrainingInterrupted as stopped:
            complain(str(stopped))
            _say_how_to_continue(arguments[0], stopped)
            return 128 + stopped.signal
        except NodeLost as lost:
            complain(f"error: {lost}")
            return 3
        except PPLCNetError as error:
            for line in f"error: {error}".split("\n"):
                complain(line)
            return 2
        except ReaderGone:
            return 0
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            place = f"{str(error.filename)[:200]}: " if error.filename is not None else ""
            complain(f"error: {place}{error.strerror or error}.")
            return 2
        except KeyboardInterrupt as interrupt:
            from pplcnet.training.interruption import signal_of

            complain("Stopped.")
            return 128 + signal_of(interrupt)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        show_page(_overview())
        sys.stdout.flush()
        return 0 if arguments else 2
    verb, rest = split_verb(arguments)
    if verb == "--version":
        from importlib import metadata

        show_page(f"pplcnet {metadata.version('pplcnet')}")
        sys.stdout.flush()
        return 0
    if any(each.startswith(f"{verb} ") for each in VERBS):
        if rest and rest[0] not in ("-h", "--help"):
            raise UnknownNameError("verb", f"{verb} {rest[0]}", VERBS)
        show_page(_overview(f"{verb} "))
        sys.stdout.flush()
        return 0 if rest else 2
    if verb not in VERBS:
        raise UnknownNameError("verb", verb, VERBS)
    given = argparse.Namespace(words=arguments)  # for processes started on other machines
    result: int = _module_of(verb).run(parser_of(verb).parse_args(rest, given))
    sys.stdout.flush()
    return result


def split_verb(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Split the leading verb, of one or two words, from the rest."""
    words = 2 if " ".join(arguments[:2]) in VERBS else 1
    return " ".join(arguments[:words]), list(arguments[words:])


def parser_of(verb: str) -> Parser:
    """The parser for one of VERBS."""
    module = _module_of(verb)
    parser = Parser(
        prog=f"pplcnet {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def _module_of(verb: str) -> Any:
    return importlib.import_module(f"pplcnet.cli.{verb.replace(' ', '.')}")


def _overview(beginning: str = "") -> str:
    verbs = {verb: text for verb, text in VERBS.items() if verb.startswith(beginning)}
    width = max(map(len, verbs))
    listed = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in verbs.items())
    return (
        f"usage: pplcnet {beginning}VERB ...\n\nImage classifiers, detectors and segmenters that "
        f"are fast on ordinary CPUs.\n\n{listed}\n\n'pplcnet VERB --help' explains a verb; "
        "'pplcnet --version' prints the version."
    )


def _say_how_to_continue(verb: str, stopped: TrainingInterrupted) -> None:
    import shlex

    if stopped.run:
        words = "train" if verb == "demo" else verb, "--resume", "--out", stopped.run
        complain(f"Continue with: {shlex.join(['pplcnet', *words, *stopped.options])}")
