"""--nodes and --node: this machine's place among those that train together."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.errors import InputError, TrainingInterrupted
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.nodes import Nodes, find_nodes

__all__ = ["add_node_arguments", "given_nodes", "join", "lacks_folder", "nodes_in_command"]


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Which machines train, and which of them this is."""
    parser.add_argument(
        "--nodes",
        metavar="HOST:PORT,HOST:PORT",
        help="train on several machines: start the same command on each, with --node 0, 1, ...; "
        "the ports have no authentication. Default: those of TF_CONFIG, where it is set",
    )
    parser.add_argument(
        "--node",
        type=int,
        metavar="NUMBER",
        help="which of --nodes this machine is, from 0; node 0 writes --out",
    )


def given_nodes(arguments: argparse.Namespace) -> Nodes | None:
    """Those of the options, or of TF_CONFIG; None for this machine alone.

    InputError when they contradict themselves.
    """
    return find_nodes(arguments.nodes, arguments.node, os.environ)


def lacks_folder(arguments: argparse.Namespace) -> bool:
    """Whether this is another node than the first, which does not see the folder of the run.

    It takes photos and recipe from its command, with --resume too. Verbs without nodes never are.
    """
    from pplcnet.runs.files import RUN

    nodes = given_nodes(arguments) if hasattr(arguments, "node") else None
    return nodes is not None and nodes.index > 0 and not (Path(arguments.out) / RUN).is_file()


def join(arguments: argparse.Namespace, recipe: Recipe, console: Console, nodes: Nodes) -> int:
    """Train as another node than the first."""
    from pplcnet.runs.joining import join_run

    if arguments.photos is None:
        raise InputError(
            f"{arguments.out}: no run there: give PHOTOS and the recipe as on {nodes.name(0)}."
        )
    with nodes_in_command(nodes):
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
def nodes_in_command(nodes: Nodes | None) -> Iterator[None]:
    """Within, a training that is stopped names the nodes in the command that continues it."""
    try:
        yield
    except TrainingInterrupted as stopped:
        stopped.options = () if nodes is None else nodes.options
        raise
