"""The start of a training: resolved once, before the training, and recorded with the run."""

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
    """The requested start, the one used, and why; with the values of the recipe's `weights`."""

    asked: str | None
    weights: str | None
    """Never auto; None means random values."""
    reason: str = ""
    """Why it is not auto's first choice, and how to get that; empty if it is, or was requested."""
    is_pretrain_file: bool = False
    """Whether it is a file from `pplcnet pretrain`."""

    @classmethod
    def from_facts(cls, facts: object, weights: str | None) -> Start:
        """The start from recorded `facts`; runs from before they were recorded used `weights`."""
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
        """The start of a bundle's training; None if the bundle was not trained by pplcnet."""
        if "recipe" not in provenance:
            return None
        return cls.from_facts(provenance.get("weights"), None)

    @property
    def has_seen_formulas(self) -> bool:
        """Whether it was pretrained on formula pictures only, so weights from photos would help."""
        return self.weights == FRACTAL or self.is_pretrain_file

    def facts(self) -> dict[str, str | bool | None]:
        """The start as JSON values."""
        return self._asdict()

    def describe(self) -> str:
        """One line: what the network starts from, and how to get a better start if there is one."""
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
    """The start given by the recipe's field `weights`, downloaded if necessary.

    Auto uses the official weights if they are in the cache or a server answers within seconds,
    else the shipped backbone, else random values.

    Raises:
        WeightsError, InputError: weights other than auto that are not available.
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
