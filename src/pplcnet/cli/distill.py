"""Train a small network to imitate a larger one.

The teacher is a bundle from `pplcnet train`, or a `.keras` file with the same classes. It
classifies the same augmented views that the student sees. With --distillation ssld the labels are
ignored, so that --unlabelled photos help; with mutual, two students teach each other. Everything
else works as in `pplcnet train`, which can also resume the run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pplcnet.cli import train
from pplcnet.errors import InputError
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.settings import field_defaults, field_help

__all__ = ["add_arguments", "run"]

OPTIONS = ("teacher", "distillation", "unlabelled")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: those of train, and the teacher."""
    train.add_arguments(parser)
    defaults, texts = field_defaults(Recipe()), field_help()
    for name in OPTIONS:
        shown = train.shown(defaults[name])
        parser.add_argument(
            f"--{name}",
            metavar=name.upper(),
            help=f"{train.one_line(texts[name])} Default: {shown}.".replace("%", "%%"),
        )
    parser.add_argument("--student", dest="model", metavar="MODEL", help="the same as --model")


def run(arguments: argparse.Namespace) -> int:
    """Check the teacher, then run the training job."""
    recipe = train.read_recipe(arguments, options=(*train.OPTIONS, *OPTIONS))
    if not recipe.options.distils:
        raise InputError(
            "no teacher: give --teacher BUNDLE (or a .keras file), or --distillation mutual "
            "for two students that teach each other."
        )
    teacher, unlabelled = recipe.options.teacher, recipe.options.unlabelled
    if teacher is not None and not Path(teacher).exists():
        raise InputError(
            f"{teacher}: no such file or folder; the teacher must be a bundle or a .keras file."
        )
    if unlabelled is not None and not Path(unlabelled).is_dir():
        raise InputError(f"{unlabelled}: no such folder; --unlabelled takes a folder of photos.")
    return train.run_recipe(arguments, recipe)
