"""What a training starts from: looked for once, before the training, and recorded with the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pplcnet.errors import PPLCNetError, WeightsError
from pplcnet.recipe.formula_backbones import is_formula_backbone
from pplcnet.recipe.starts import AUTO, FRACTAL, NONE
from pplcnet.weights.downloading import HASTY
from pplcnet.weights.fetching import fetch, weights_path
from pplcnet.weights.sources import TAGS, find_source, sources_of

__all__ = ["Start", "find_start"]


class Start(NamedTuple):
    """What was asked for, what was taken, and why; the values are those of the recipe's field."""

    asked: str | None
    weights: str | None
    """Never auto; None is random values."""
    reason: str = ""
    """Why it is not what auto prefers, and how to get that; empty if it is, or was demanded."""
    is_pretrain_file: bool = False
    """Whether it is a file by `pplcnet pretrain`."""

    @classmethod
    def from_facts(cls, facts: object, weights: str | None) -> Start:
        """What `facts` wrote. Runs made before it did started from `weights`."""
        if not isinstance(facts, Mapping):
            return cls(weights, weights)
        asked, taken = (facts.get(name) for name in ("asked", "weights"))
        return cls(
            None if asked is None else str(asked),
            None if taken is None else str(taken),
            str(facts.get("reason", "")),
            facts.get("is_pretrain_file") is True,
        )

    @classmethod
    def of_provenance(cls, provenance: Mapping[str, Any]) -> Start | None:
        """What a bundle's training started from; None where the bundle was not trained here."""
        if "recipe" not in provenance:
            return None
        return cls.from_facts(provenance.get("weights"), None)

    @property
    def has_seen_formulas(self) -> bool:
        """Whether it was pretrained on pictures of formulas only, so that photos' weights help."""
        return self.weights == FRACTAL or self.is_pretrain_file

    def facts(self) -> dict[str, str | bool | None]:
        """As JSON holds it."""
        return self._asdict()

    def describe(self) -> str:
        """One line: where the network starts, and if there is something better, how to get it."""
        if self.weights is None:
            taken = "random values"
        elif self.weights == FRACTAL:
            taken = "fractal, the backbone that ships with pplcnet"
        elif self.weights in TAGS:
            taken = f"the official weights ({self.weights})"
        elif self.is_pretrain_file:
            taken = f"{self.weights}, a backbone from 'pplcnet pretrain'"
        else:
            taken = self.weights
        if self.reason:
            return f"{taken}; the official weights would be better, but {self.reason}"
        return f"{taken} (weights={NONE})" if self.weights is None else taken


def find_start(network: str, weights: str | None) -> Start:
    """What training starts from by the recipe's field `weights`; downloaded if necessary.

    Auto takes the official weights if they are in the cache or a server answers within seconds,
    else the shipped backbone, else random values.

    Raises:
        WeightsError, InputError: weights other than auto that are not to be had.
    """
    if weights != AUTO:
        if weights is not None:
            weights_path(network, weights)
        return Start(weights, weights, is_pretrain_file=is_formula_backbone(weights))
    official = next(iter(sources_of(network)))
    try:
        fetch(find_source(network, official), patience=HASTY)
    except (PPLCNetError, OSError) as error:
        reason = str(error)
    else:
        return Start(AUTO, official)
    try:
        weights_path(network, FRACTAL)
    except WeightsError as error:
        return Start(AUTO, None, f"{reason} {error}")
    return Start(AUTO, FRACTAL, reason)
