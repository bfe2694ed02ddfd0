"""Train a classifier on a folder of photos.

PHOTOS is a folder of class folders, a folder with train/validation/test of class folders, a CSV
file with a path and a label column, or a PaddleClas list file with its label file beside it. For
several labels a photo: a CSV with a column labels (a;b), or a column a label of 1, 0 or nothing.
Everything is written below --out: the bundle, the evaluation, the history, the recipe.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.errors import InputError
from pplcnet.training.recipe import (
    FINETUNE,
    Recipe,
    field_help,
    named_recipes,
    parse_setting,
)

__all__ = ["add_arguments", "add_recipe_arguments", "read_recipe", "run"]

DEFAULT = "the fields' own defaults"
# Fields with an option of their own; --set reaches all of them.
OPTIONS = ("model", "image_size", "epochs", "batch_size", "weights", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_recipe_arguments(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out after it was stopped"
    )
    parser.add_argument("--overwrite", action="store_true", help="throw away the run in --out")


def add_recipe_arguments(
    parser: argparse.ArgumentParser, base: Recipe | None = None, default: str = DEFAULT
) -> None:
    """Photos, folder and recipe; the recipe's explanations come from the recipe.

    `base` is the recipe without --recipe and --weights, and `default` says what it is.
    """
    defaults, texts = (base or Recipe()).to_dict(), field_help()
    parser.add_argument("photos", metavar="PHOTOS", help="the labelled photos")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the run is written")
    for name in OPTIONS:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=name.upper(),
            help=f"{_one_line(texts[name])} Default: {_shown(defaults[name])}.".replace("%", "%%"),
        )
    parser.add_argument(
        "--recipe",
        metavar="NAME_OR_FILE",
        help=f"{', '.join(named_recipes())}, or a TOML file of recipe fields. Default: finetune "
        f"with --weights, {default} without",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="settings",
        help="set any recipe field; may be repeated",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out what the audit faults, and list it in skipped.csv",
    )
    width = max(map(len, texts)) + 2
    fields = "\n".join(
        f"  {name:<{width}}{_one_line(text)} [{_shown(defaults[name])}]"
        for name, text in texts.items()
    )
    parser.epilog = f"recipe fields, for --recipe and --set, with their defaults:\n{fields}"


def run(arguments: argparse.Namespace) -> int:
    """Run the main job and print where things are."""
    recipe = read_recipe(arguments)
    if arguments.resume and arguments.overwrite:
        raise InputError("--resume and --overwrite exclude each other.")
    from pplcnet.job import run_job

    console = Console()

    def before_training() -> None:
        console.say("loading Keras, which takes some seconds")
        quiet_frameworks()

    result = run_job(
        arguments.photos,
        recipe,
        arguments.out,
        skip_broken=arguments.skip_broken,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        watcher=console,
        before_training=before_training,
    )
    for line in result.summary():
        print(line)
    print(f"try it      pplcnet predict {result.bundle} PHOTO_OR_FOLDER")
    return 0


def read_recipe(arguments: argparse.Namespace, base: Recipe | None = None) -> Recipe:
    """The recipe of the file, then of the options, then of --set.

    `base` is the recipe without --recipe and weights; None for the fields' own defaults.
    """
    given = [
        (name, text) for name in OPTIONS if (text := getattr(arguments, name, None)) is not None
    ]
    settings = [f"{name}={text}" for name, text in given] + arguments.settings
    changes = dict(parse_setting(setting) for setting in settings)
    return _base(arguments.recipe, changes, base or Recipe()).changed(changes)


def _base(chosen: str | None, changes: dict[str, object], base: Recipe) -> Recipe:
    if chosen is None:
        return Recipe.named(FINETUNE) if "weights" in changes else base
    is_name = Path(chosen).name == chosen and not Path(chosen).is_file() and "." not in chosen
    return Recipe.named(chosen) if is_name else Recipe.from_toml(chosen)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        is_size = all(isinstance(each, int) for each in value)
        return ("x" if is_size else ",").join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
