"""`train --search` on a folder where another process searches: this one helps with the trials."""

from __future__ import annotations

import argparse

from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.recipe.recipe import Recipe

__all__ = ["helps_with_search"]


def helps_with_search(
    arguments: argparse.Namespace, recipe: Recipe, search: float, console: Console
) -> bool:
    """Whether another process has the folder; its search is over then."""
    from pplcnet.runs.search_helping import help_search, is_in_use

    if arguments.resume or arguments.overwrite or not is_in_use(arguments.out):
        return False
    help_search(
        arguments.photos,
        recipe,
        arguments.out,
        search=search,
        skip_broken=arguments.skip_broken,
        watcher=console,
        before_training=quiet_frameworks,
    )
    show("searched    the process that began the run goes on with its training")
    return True
