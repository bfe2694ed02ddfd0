"""What the training loop asks of the machines that train together; one machine is such a group too.

All calls that talk to other nodes happen in the same order on every node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from pplcnet.recipe.recipe import Recipe

__all__ = ["Alone", "Group"]


class Group(Protocol):
    """The nodes as one of them sees them; `Alone` is a training on one machine."""

    index: int
    count: int
    strategy: Any
    """TensorFlow's strategy; None on one machine."""

    def shared(self, recipe: Recipe) -> Recipe:
        """The recipe with `devices` as the number of parts of every batch."""
        ...

    def step_of(self, model: keras.Model) -> Any:
        """The step of a model that was built in the strategy's scope; None on one machine."""
        ...

    def watch(self, interrupted: Callable[[], int]) -> Callable[[], int]:
        """A signal of this node to one of any node, which all of them see after the same step."""
        ...

    def agree(self) -> None:
        """Ask all nodes whether one of them was stopped; a step does so by itself."""
        ...

    def from_first(self, values: Sequence[float]) -> list[float]:
        """The values of node 0, to the bit."""
        ...

    def share(self, variables: Sequence[keras.Variable]) -> None:
        """Give variables the values that they have on node 0."""
        ...

    def average_statistics(self, model: keras.Model) -> None:
        """Give BatchNorm's moving statistics the means over all nodes."""
        ...

    def send_file(self, path: Path) -> None:
        """Write the file that node 0 has at its own path, if it has one, to this node's."""
        ...


class Alone:
    """One machine: nothing to tell anybody."""

    index, count, strategy = 0, 1, None

    def shared(self, recipe: Recipe) -> Recipe:
        """The recipe itself."""
        return recipe

    def step_of(self, model: keras.Model) -> Any:
        """None: `devices` has the steps of one machine."""
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
