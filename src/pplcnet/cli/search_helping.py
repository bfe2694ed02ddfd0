"""`train --search`: how long to search, and who runs the trials."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.cli.ray_search import RAY_HELPER, searched_on_ray
from pplcnet.errors import InputError, require
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.names import SEARCH_BEST
from pplcnet.training.search_sharing import Search

__all__ = ["helps_with_search", "search_of"]


def search_of(arguments: argparse.Namespace, console: Console) -> Search | None:
    """The search that the command asks for, or that the resumed run was stopped in; else None.

    Raises:
        InputError: no time is given, or a Ray cluster would have nothing to do.
        MissingDependencyError: Ray is needed but not installed.
    """
    from pplcnet.training.searching import parse_budget

    seconds = None if arguments.search is None else parse_budget(arguments.search)
    # A search that was stopped continues for the time it was given; a finished one is not repeated,
    # and its options --study and --on ray no longer matter.
    if seconds is None and (searched := (arguments.run or {}).get("search")) is not None:
        if (Path(arguments.out) / SEARCH_BEST).is_file() and RAY_HELPER not in os.environ:
            return None
        seconds = searched
    is_on_ray = arguments.on == "ray" and arguments.nodes is None
    if is_on_ray and seconds is None:
        raise InputError(
            "--on ray needs either --nodes and a number of nodes, to train, or --search and a "
            "time, to search; give one of them."
        )
    if seconds is None:
        if arguments.study is not None:
            raise InputError(
                "--study stores the trials of a search; give --search and a time as well."
            )
        return None
    _check_place(arguments)
    search = Search(seconds, study=arguments.study)
    if is_on_ray and RAY_HELPER not in os.environ:
        require("ray", purpose="--on ray", extra="ray")
        search = search._replace(by=searched_on_ray(arguments, console))
    return search


def _check_place(arguments: argparse.Namespace) -> None:
    """Raise InputError if a run's search would continue in another place and so start over."""
    from pplcnet.training.search_database import run_of_study, shown_address

    run, study = arguments.run or {}, arguments.study
    kept = run.get("study")
    if kept is None and study is not None and run.get("search") is not None:
        raise InputError(
            f"{arguments.out}: the trials of this run's search are in that folder; "
            "leave out --study."
        )
    if kept is None or (study is not None and shown_address(study) == kept):
        return
    # A database may have a new address.
    if study is None or run_of_study(study) is None:
        raise InputError(
            f"{arguments.out}: the trials of this run's search are in {kept}; give that as --study."
        )


def helps_with_search(
    arguments: argparse.Namespace, recipe: Recipe, search: Search | None, console: Console
) -> bool:
    """Help with the search if another process started it; returns whether it helped, afterwards.

    Raises:
        InputError: there is no search to help with, or it belongs to another run.
    """
    if search is None:
        return False
    helps = _helps_with_study if search.study is not None else _helps_in_folder
    if not helps(arguments, search):
        return False
    from pplcnet.runs.search_helping import help_search

    help_search(
        arguments.photos,
        recipe,
        arguments.out,
        search,
        skip_broken=arguments.skip_broken,
        watcher=console,
        before_training=quiet_frameworks,
    )
    show("searched    the process that began the run now trains")
    return True


def _helps_in_folder(arguments: argparse.Namespace, search: Search) -> bool:
    from pplcnet.runs.search_helping import is_in_use

    is_asked_to = RAY_HELPER in os.environ
    if not is_asked_to and (arguments.resume or arguments.overwrite):
        return False
    is_begun = is_in_use(arguments.out)
    if is_asked_to and not is_begun:
        raise InputError(
            f"{arguments.out}: no search is running there. A search on several machines needs a "
            "folder that all of them share, or --study."
        )
    return is_begun


def _helps_with_study(arguments: argparse.Namespace, search: Search) -> bool:
    from pplcnet.training.search_database import of_another_run, run_of_study

    if RAY_HELPER in os.environ:
        return True
    begun = run_of_study(arguments.study)
    if begun is None or begun == (arguments.run or {}).get("id"):
        return False
    if arguments.resume or arguments.overwrite:
        raise of_another_run(arguments.study)
    return True
