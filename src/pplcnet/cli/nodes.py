"""--nodes and --node: this machine's place among machines that train together; and --on ray."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pplcnet.cli.arguments import add_cluster, whole
from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.on_ray import RAY_NODE, RAY_NODES
from pplcnet.cli.output import show
from pplcnet.errors import InputError, TrainingInterrupted
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.nodes import Nodes, find_nodes

__all__ = ["add_node_arguments", "continued_with", "given_nodes", "join", "lacks_folder"]


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for which machines train and which of them this is."""
    parser.add_argument(
        "--nodes",
        metavar="HOST:PORT,HOST:PORT",
        help="train on several machines: start the same command on each, with --node 0, 1, ...; "
        "the ports have no authentication. With --on ray: the number of nodes. Default: those of "
        "TF_CONFIG, if it is set",
    )
    parser.add_argument(
        "--node",
        type=int,
        metavar="NUMBER",
        help="which of --nodes this machine is, counted from 0; node 0 writes --out",
    )
    add_cluster(
        parser,
        "ray: a Ray cluster starts the processes of --nodes or --search (needs ray); default: "
        "local",
    )
    parser.add_argument(
        "--workers",
        type=whole(1, 10_000),
        metavar="N",
        help="with --on ray and --search: number of processes that search; default: one on each "
        "machine",
    )


def given_nodes(arguments: argparse.Namespace) -> Nodes | None:
    """The nodes from the options, from Ray or from TF_CONFIG; None for this machine alone.

    Raises InputError if they contradict each other.
    """
    if arguments.on == "ray":
        index = os.environ.get(RAY_NODE)
        return None if index is None else find_nodes(os.environ.get(RAY_NODES), int(index), {})
    for name in ("address", "workers"):
        if getattr(arguments, name) is not None:
            raise InputError(f"--{name} is for a Ray cluster; give --on ray as well.")
    return find_nodes(arguments.nodes, arguments.node, os.environ)


def lacks_folder(arguments: argparse.Namespace) -> bool:
    """Whether this is a node other than the first that does not see the run's folder.

    It takes photos and recipe from its command, even with --resume. False for verbs without nodes.
    """
    from pplcnet.runs.files import RUN

    nodes = given_nodes(arguments) if hasattr(arguments, "node") else None
    return nodes is not None and nodes.index > 0 and not (Path(arguments.out) / RUN).is_file()


def join(arguments: argparse.Namespace, recipe: Recipe, console: Console, nodes: Nodes) -> int:
    """Train as a node other than the first; returns the exit code."""
    from pplcnet.runs.joining import join_run

    if arguments.photos is None:
        raise InputError(
            f"{arguments.out}: no run there: give PHOTOS and the recipe as on {nodes.name(0)}."
        )
    with continued_with(arguments, nodes):
        join_run(
            arguments.photos,
            recipe,
            arguments.out,
            nodes,
            skip_broken=arguments.skip_broken,
            resume=arguments.resume,
            watcher=console,
            before_training=quiet_frameworks,
        )
    show(f"trained     {nodes.name(0)} exports and evaluates, and writes {arguments.out}")
    return 0


@contextlib.contextmanager
def continued_with(arguments: argparse.Namespace, nodes: Nodes | None) -> Iterator[None]:
    """Within the context, a stopped run's resume command includes the options for nodes or Ray."""
    try:
        yield
    except TrainingInterrupted as stopped:
        if arguments.on == "ray":
            stopped.options = "--on", "ray", *_given(arguments, "nodes", "workers", "address")
        elif nodes is not None:
            stopped.options = nodes.options
        stopped.options += _given(arguments, "study")
        raise


def _given(arguments: argparse.Namespace, *names: str) -> tuple[str, ...]:
    """The options that have a value, as on the command line; passwords are hidden."""
    from pplcnet.training.search_database import shown_address

    given = [(f"--{name}", getattr(arguments, name)) for name in names]
    return tuple(
        word
        for name, value in given
        if value is not None
        for word in (name, shown_address(str(value)))
    )
