"""List the photos whose label is probably wrong.

The photos are split into folds. For each fold, a network is trained on the other folds and predicts
the photos of this one, so no photo is judged by a network that was trained on it. Doubtful labels
are listed in suspects.csv, the most suspicious first, for a person to review: no label is changed.

Run again with the same arguments, or with --resume, it continues where it stopped.
"""

from __future__ import annotations

import argparse

from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.cli.train import add_recipe_arguments, read_recipe
from pplcnet.errors import RecipeError
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.wording import counted

__all__ = ["add_arguments", "run"]

RECIPE = "suspects"
DEFAULT = f"{RECIPE}; finetune with official weights or a file"
SHOWN = 10
FOLDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: the recipe's, and the folds."""
    add_recipe_arguments(parser, Recipe.named(RECIPE), DEFAULT)
    parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help=f"number of folds, one network each; default: {FOLDS}",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train the missing networks, and show the top of the list."""
    recipe = read_recipe(arguments, Recipe.named(RECIPE), kind="suspects")
    folds = arguments.folds
    if arguments.run is not None:
        recorded = arguments.run["recipe"].get("folds")
        if folds not in (None, recorded):
            raise RecipeError(
                f"{arguments.out}: a resumed run keeps its folds; you gave "
                f"folds={folds}, the run has {recorded}."
            )
        folds = recorded
    from pplcnet.runs.suspects import find_suspects

    console = Console()

    found = find_suspects(
        arguments.photos,
        recipe,
        arguments.out,
        folds=FOLDS if folds is None else folds,
        skip_broken=arguments.skip_broken,
        overwrite=arguments.overwrite,
        watcher=console,
        before_training=quiet_frameworks,
    )
    for line in found.accuracies():
        show(line)
    show(f"{len(found.suspects)} of {counted(found.photos, 'photo')} may have a wrong label")
    for each in found.suspects[:SHOWN]:
        show(
            f"  {each.name}: {each.label} ({each.confidence_in_label:.3f}), "
            f"more likely {each.suggested} ({each.confidence_in_suggested:.3f})"
        )
    left = len(found.suspects) - SHOWN
    if left > 0:
        show(f"  and {left} more")
    show(f"list        {found.path}")
    show("review them: unusual photos are listed as well as wrong labels; no label was changed")
    return 0
