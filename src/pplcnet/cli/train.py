"""Train a network on labelled photos, export it and evaluate it.

PHOTOS is a folder with one subfolder per class, or with such folders in train, validation and test;
a CSV file with a path and a label column; or a PaddleClas or PaddleX list with its label file. For
multi-label data it is a CSV file with a column `labels` (a;b), or with a column for each label that
holds 1, 0 or nothing. Boxes (COCO, Pascal VOC, YOLO) train a detector, masks a segmenter.
Everything is written to --out: the bundle, the evaluation, the report, the history, the recipe.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pplcnet.cli.arguments import add_photos
from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.nodes import add_node_arguments, continued_with, given_nodes, join, lacks_folder
from pplcnet.cli.on_ray import starts_nodes, train_on_ray
from pplcnet.cli.output import show
from pplcnet.cli.search_helping import helps_with_search, search_of
from pplcnet.cli.settings import changed_recipe, parse_settings, raise_faults, read_recipe_file
from pplcnet.errors import InputError
from pplcnet.recipe.fields import field_types
from pplcnet.recipe.files import named_recipes, read_toml, recipe_path
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.settings import field_defaults, field_help
from pplcnet.recipe.starts import AUTO, FINETUNE, named_recipe_of, recipe_by_start
from pplcnet.system.wording import counted
from pplcnet.tasks import options_of

__all__ = [
    "OPTIONS",
    "add_arguments",
    "add_recipe_arguments",
    "one_line",
    "read_recipe",
    "run",
    "run_recipe",
    "shown",
]

BY_START = (
    "depends on the starting weights: finetune for official weights or a file, fractal for fractal "
    "or a file from 'pplcnet pretrain', the default of each field for none"
)
# Fields with an option of their own; --set can change any field.
OPTIONS = ("model", "image_size", "epochs", "batch_size", "weights", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_recipe_arguments(parser)
    parser.add_argument(
        "--search",
        metavar="TIME",
        help="before training, search for better recipe fields on the validation photos for about "
        "TIME (90s, 20m, 2h), then train with the best; needs the search extra. While it runs, the "
        "same command with the same --out helps with the search",
    )
    parser.add_argument(
        "--study",
        metavar="ADDRESS",
        help="store the trials of --search in a database, for machines without a shared folder: "
        "postgresql://USER@HOST/DATABASE, mysql:// or sqlite:////FILE",
    )
    add_node_arguments(parser)
    parser.add_argument(
        "--find-learning-rate",
        action="store_true",
        help="instead of training, raise the learning rate step by step, write the losses to "
        "learning_rates.csv and .png, and suggest a rate",
    )


def add_recipe_arguments(
    parser: argparse.ArgumentParser, base: Recipe | None = None, default: str = BY_START
) -> None:
    """Add the photos, the folder and the recipe; the help for recipe fields comes from the recipe.

    Args:
        base: the recipe without --recipe, except for official weights and files. None for the
            one that fits what training starts from.
        default: how the help describes it.
    """
    defaults, texts = field_defaults(base or Recipe()), field_help()
    add_photos(parser, "the labelled photos; not needed with --resume")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write the run to")
    for name in OPTIONS:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=name.upper(),
            help=f"{one_line(texts[name])} Default: {shown(defaults[name])}.".replace("%", "%%"),
        )
    parser.add_argument(
        "--recipe",
        metavar="NAME_OR_FILE",
        help=f"{', '.join(named_recipes())}, or a TOML file of recipe fields. Default: {default}",
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
        help="leave out files with faults, and list them in skipped.csv",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out with the photos and the recipe that it started with",
    )
    parser.add_argument("--overwrite", action="store_true", help="delete the run in --out first")
    width = max(map(len, texts)) + 2
    fields = "\n".join(
        f"  {name:<{width}}{one_line(text)} [{shown(defaults[name])}]"
        for name, text in texts.items()
    )
    parser.epilog = f"recipe fields, for --recipe and --set, with their defaults:\n{fields}"


def run(arguments: argparse.Namespace) -> int:
    """Run the training job and print the result."""
    return run_recipe(arguments, read_recipe(arguments))


def run_recipe(arguments: argparse.Namespace, recipe: Recipe) -> int:
    """As `run`, with a recipe that has already been read."""
    console = Console()
    if arguments.find_learning_rate:
        return _find_learning_rate(arguments, recipe, console)
    nodes, search = given_nodes(arguments), search_of(arguments, console)
    if search is not None and (nodes is not None or arguments.nodes is not None):
        raise InputError("--search trains on one node; leave out --nodes (or unset TF_CONFIG).")
    if starts_nodes(arguments):
        return train_on_ray(arguments, console)
    if nodes is not None and nodes.index > 0:
        return join(arguments, recipe, console, nodes)
    from pplcnet.runs.training_run import run_job

    if helps_with_search(arguments, recipe, search, console):
        return 0
    with continued_with(arguments, nodes):
        result = run_job(
            arguments.photos,
            recipe,
            arguments.out,
            skip_broken=arguments.skip_broken,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            search=search,
            nodes=nodes,
            watcher=console,
            before_training=quiet_frameworks,
        )
    for line in result.summary():
        show(line)
    advice = result.advice()
    for line in advice or [f"try it      pplcnet predict {result.bundle} PHOTO_OR_FOLDER"]:
        show(line)
    return 0


def _refuse_other_options(arguments: argparse.Namespace) -> None:
    names = "search", "study", "resume", "overwrite", "nodes", "node", "workers", "address"
    given = {name: getattr(arguments, name) for name in names}
    others = [f"--{name}" for name, each in given.items() if each is not None and each is not False]
    others += ["--on ray"] if arguments.on == "ray" else []
    if others:
        raise InputError(f"--find-learning-rate does not train; leave out {' and '.join(others)}.")


def _find_learning_rate(
    arguments: argparse.Namespace,
    recipe: Recipe,
    console: Console,
) -> int:
    """Run the range test instead of training, and show the suggested learning rates."""
    from pplcnet.runs.rate_test import find_learning_rate

    test, table, image = find_learning_rate(
        arguments.photos,
        recipe,
        arguments.out,
        skip_broken=arguments.skip_broken,
        watcher=console,
        before_training=quiet_frameworks,
    )
    show(
        f"tried       {counted(len(test.learning_rates), 'step')}, learning rate "
        f"{test.learning_rates[0]:.2g} to {test.learning_rates[-1]:.2g}"
        f"{'; stopped early, as the loss diverged' if test.has_diverged else ''}"
    )
    if not test.falls:
        show("suggestion  none: the loss did not fall at any of these rates; see the plot")
    else:
        (low, of_low), (high, of_high) = sorted(
            [
                (test.steepest, "where the loss fell fastest"),
                (test.tenth_of_lowest, "a tenth of the rate with the lowest loss"),
            ]
        )
        show(f"suggestion  --set learning_rate={low:.2g}   ({of_low})")
        show(f"            {high:.2g} ({of_high}) may train faster, but diverges more easily")
    show(f"losses      {table}, {image}")
    return 0


def read_recipe(
    arguments: argparse.Namespace,
    base: Recipe | None = None,
    options: Sequence[str] = OPTIONS,
    kind: str = "train",
) -> Recipe:
    """The recipe from the file, then the options, then --set; with --resume, the run's own.

    Args:
        arguments: get a field `run`, the run.json with --resume, else None; `photos` is filled in
            from it.
        base: the recipe without --recipe, except for official weights and files; None for the one
            that fits what training starts from.
        options: fields that have an option of their own.
        kind: of the run that --resume continues.

    Raises:
        RecipeError: an unknown field or an invalid value; with --resume, one that differs from
            the run's.
    """
    if getattr(arguments, "find_learning_rate", False):
        _refuse_other_options(arguments)
    given = [
        (name, text) for name in options if (text := getattr(arguments, name, None)) is not None
    ]
    settings = [f"{name}={text}" for name, text in given] + arguments.settings
    changes, faults = parse_settings(settings)
    arguments.run = None
    if arguments.resume and arguments.overwrite:
        raise InputError("--resume and --overwrite exclude each other; give only one.")
    if not arguments.resume or lacks_folder(arguments):
        return changed_recipe(_base(arguments.recipe, changes, base), changes, faults)
    raise_faults(faults)
    from pplcnet.cli.resuming import check_given, recorded_photos, recorded_recipe, recorded_run
    from pplcnet.data.dataset import Dataset

    arguments.run = recorded_run(arguments.out, kind)
    arguments.photos = arguments.photos or recorded_photos(arguments.out, arguments.run)
    of_task = options_of(Dataset.open(arguments.photos).task)
    recipe = recorded_recipe(arguments.out, arguments.run, of_task)
    wanted = {**_file_values(arguments.recipe), **changes}
    check_given(arguments.out, recipe, wanted, arguments.run)
    return recipe


def _file_values(chosen: str | None) -> dict[str, object]:
    if chosen is None:
        return {}
    return read_toml(recipe_path(chosen) if _is_name(chosen) else chosen)


def _base(chosen: str | None, changes: dict[str, Any], base: Recipe | None) -> Recipe:
    if chosen is not None:
        return Recipe.named(chosen) if _is_name(chosen) else read_recipe_file(chosen)
    weights = changes.get("weights", AUTO)
    if base is not None and named_recipe_of(weights) != FINETUNE:
        return base
    with contextlib.suppress(InputError):  # errors are reported together with all the others
        return recipe_by_start({**_of_a_task(changes), "weights": weights})
    return recipe_by_start({"weights": weights})


def _of_a_task(changes: dict[str, Any]) -> dict[str, Any]:
    """The changed fields that only some tasks have; they can tell which recipe fits the data."""
    return {name: value for name, value in changes.items() if name not in field_types(Recipe)}


def _is_name(chosen: str) -> bool:
    """Whether --recipe is a recipe's name, not a file."""
    return Path(chosen).name == chosen and not Path(chosen).is_file() and "." not in chosen


def one_line(text: str) -> str:
    """A field's help text without line breaks."""
    return " ".join(text.split())


def shown(value: object) -> str:
    """A field's default, as written on the command line."""
    if value is None:
        return "none"
    if isinstance(value, list):
        is_size = all(isinstance(each, int) for each in value)
        return ("x" if is_size else ",").join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
