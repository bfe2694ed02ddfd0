"""`train --on ray --nodes N`: a Ray cluster starts the processes that train together.

Each process gets the original command, and its place among the others from its
environment.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import time
from typing import TYPE_CHECKING

from pplcnet.cli.console import Console
from pplcnet.cli.output import show
from pplcnet.errors import InputError, NodeLost, require
from pplcnet.jobs.command_events import Began, Ended, LastLines, Line
from pplcnet.system.processor import available_cores

if TYPE_CHECKING:
    from pplcnet.jobs.ray_commands import RayCommands

__all__ = ["RAY_NODE", "RAY_NODES", "starts_nodes", "train_on_ray"]

RAY_NODES, RAY_NODE = "PPLCNET_RAY_NODES", "PPLCNET_RAY_NODE"
"""Environment variables of a node: the addresses of all nodes, and its own index."""
LOST_SECONDS, FAILED_SECONDS = 120.0, 20.0
"""How long the other nodes may take to exit after one was lost, or could not start."""
NODE_LOST = 3
SAID_BY_NODE_0 = (0, NODE_LOST, 128 + signal.SIGTERM)
"""Exit codes of other nodes that need no message, because node 0 has reported everything."""


def starts_nodes(arguments: argparse.Namespace) -> bool:
    """Whether this process starts nodes and is not a node itself.

    Raises:
        InputError: options that exclude each other.
    """
    if arguments.on != "ray" or arguments.nodes is None or RAY_NODE in os.environ:
        return False
    if arguments.node is not None:
        raise InputError("with --on ray, Ray chooses the machines; leave out --node.")
    if arguments.workers is not None:
        raise InputError(
            "--workers is for --search; with --nodes, that says how many processes train."
        )
    _count_of(arguments)
    return True


def train_on_ray(arguments: argparse.Namespace, console: Console) -> int:
    """Start all nodes and show the output of node 0; returns its exit code.

    Raises:
        NodeLost: node 0 was lost, or did not report that another was.
        KeyboardInterrupt: a signal, after the nodes have saved.
    """
    require("ray", purpose="--on ray", extra="ray")
    from pplcnet.jobs.ray_cluster import Cluster
    from pplcnet.jobs.ray_commands import RayCommands
    from pplcnet.training.interruption import signals_stop

    count = _count_of(arguments)
    with signals_stop():
        cluster = Cluster(arguments.address, max(count, available_cores()), console.say)
        try:
            with RayCommands(cluster, count, console.say, start_together=True) as commands:
                addresses = commands.addresses(count)
                environment = {RAY_NODES: ",".join(addresses)}
                for index in range(count):
                    commands.start(index, arguments.words, {**environment, RAY_NODE: str(index)})
                return _Watch(addresses, console).until_ended(commands)
        finally:
            cluster.close()


def _count_of(arguments: argparse.Namespace) -> int:
    text = arguments.nodes
    if not re.fullmatch("[0-9]{1,5}", text) or not 2 <= int(text) <= 10_000:
        raise InputError(
            f"--nodes is {text[:40]!r}; with --on ray it must be a number of nodes, 2 to 10000."
        )
    return int(text)


class _Watch:
    """Follows the output of the nodes and how they end."""

    def __init__(self, addresses: list[str], console: Console) -> None:
        self._addresses, self._console = addresses, console
        self._ended: dict[int, Ended] = {}
        self._errors = [LastLines() for _ in addresses]
        self._until = math.inf

    def until_ended(self, commands: RayCommands) -> int:
        """Wait until all nodes have ended, or the remaining ones fail to; returns the exit code."""
        stopped: KeyboardInterrupt | None = None
        while len(self._ended) < len(self._addresses) and time.monotonic() < self._until:
            try:
                for event in commands.events(0.5):
                    self._take(event)
            except KeyboardInterrupt as interrupt:
                if stopped is not None:
                    raise
                stopped = interrupt
                self._console.say("stopping the nodes after this step and saving")
                commands.stop()
                self._until = time.monotonic() + LOST_SECONDS
        if stopped is not None:
            raise stopped
        return self._verdict()

    def _take(self, event: Began | Line | Ended) -> None:
        if isinstance(event, Line):
            if event.is_error:
                self._errors[event.number].add(event.text)
            if event.number == 0 and event.is_error:
                self._console.say(event.text)
            elif event.number == 0:
                show(event.text)
        elif isinstance(event, Ended):
            self._ended[event.number] = event
            if event.code != 0:
                is_of_others = event.is_lost or event.code in SAID_BY_NODE_0
                seconds = LOST_SECONDS if is_of_others else FAILED_SECONDS
                self._until = min(self._until, time.monotonic() + seconds)

    def _verdict(self) -> int:
        for index, ended in self._ended.items():
            if index and not ended.is_lost and ended.code not in SAID_BY_NODE_0:
                self._show_errors(index)
        first = self._ended.get(0)
        if first is not None and first.code in (0, NODE_LOST):
            return first.code
        for index, ended in self._ended.items():
            if ended.is_lost:
                raise NodeLost(
                    f"node {index} ({self._addresses[index]}) was lost ({ended.reason}), so the "
                    "others stopped too. The same command with --resume continues from the last "
                    "epoch that was saved."
                )
        failed = first or next(each for each in self._ended.values() if each.code)
        return failed.code or 0

    def _show_errors(self, index: int) -> None:
        """Show another node's errors, unless node 0 reports the same."""
        lines = self._errors[index].from_error()
        if lines and lines[0] not in self._errors[0].lines:
            self._console.say(f"node {index} ({self._addresses[index]}) says:")
            for line in lines:
                self._console.say(line)
