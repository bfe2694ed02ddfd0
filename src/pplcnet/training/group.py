"""The interface between the training loop and the nodes that train together, one or several.

All calls that talk to other nodes are made in the same order on every node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from pplcnet.recipe.recipe import Recipe

__all__ = ["Alone", "Group"]


class Group(Protocol):
    """The nodes as seen by one of them; `Alone` is training on one machine."""

    index: int
    count: int
    strategy: Any
    """TensorFlow's strategy; None on one machine."""

    def shared(self, recipe: Recipe) -> Recipe:
        """The recipe with `devices` set to the number of shards of every batch."""
        ...

    def step_of(self, model: keras.Model) -> Any:
        """The step for a model built in the strategy's scope; None on one machine."""
        ...

    def watch(self, interrupted: Callable[[], int]) -> Callable[[], int]:
        """Wrap a check for this node's signal as one for any node's, equal on all nodes."""
        ...

    def agree(self) -> None:
        """Ask all nodes whether one of them was stopped; a training step does this anyway."""
        ...

    def from_first(self, values: Sequence[float]) -> list[float]:
        """The values of node 0, bit for bit."""
        ...

    def share(self, variables: Sequence[keras.Variable]) -> None:
        """Set variables to their values on node 0."""
        ...

    def average_statistics(self, model: keras.Model) -> None:
        """Set BatchNorm's moving statistics to their means over all nodes."""
        ...

    def send_file(self, path: Path) -> None:
        """Copy the file at node 0's `path`, if it has one, to this node's `path`."""
        ...


class Alone:
    """One machine, with nobody to talk to."""

    index, count, strategy = 0, 1, None

    def shared(self, recipe: Recipe) -> Recipe:
        """The recipe itself."""
        return recipe

    def step_of(self, model: keras.Model) -> Any:
        """None: the steps of one machine are in `devices`."""
        return None

    def watch(self, interrupted: Callable[[], int]) -> Callable[[], int]:
        """The signal itself."""
        return interrupted

    def agree(self) -> None:
        """Nothing to do."""

    def from_first(self, values: Sequence[float]) -> list[float]:
        """The values themselves."""
        return list(values)

    def share(self, variables: Sequence[keras.Variable]) -> None:
        """Nothing to do."""

    def average_statistics(self, model: keras.Model) -> None:
        """Nothing to do."""

    def send_file(self, path: Path) -> None:
        """Nothing to do."""
