"""The recipe fields of multi-label classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pplcnet.recipe.fields import Need, Searched
from pplcnet.recipe.task_options import TaskOptions
from pplcnet.recipe.values import Between

__all__ = ["OPTIONS", "MultilabelOptions"]

_SMOOTHED = Need(
    lambda _, options: options.multilabel_loss != "asymmetric",
    "multilabel_loss=asymmetric takes no label smoothing",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultilabelOptions(TaskOptions):
    """The recipe fields for multi-label data, beside those of every task."""

    data: ClassVar[str] = "multi-label"

    label_smoothing: Annotated[float, Between(0, 1, "high"), Searched(0.0, 0.2), _SMOOTHED] = 0.05
    """Fraction of the target spread evenly over present and absent."""
    multilabel_loss: Literal["bce", "asymmetric"] = "bce"
    """bce: binary cross-entropy. asymmetric: the asymmetric loss (ASL, arXiv 2009.14119), which
    gives little weight to clearly absent labels; it takes no label smoothing."""
    mixup: Annotated[float, Between(0.001, 100, off=0)] = 0.0
    """Mix pairs of pictures and their labels (arXiv 1710.09412), by Beta(mixup, mixup). If cutmix
    is on too, every batch uses one of the two."""
    cutmix: Annotated[float, Between(0.001, 100, off=0)] = 0.0
    """Paste a rectangle of one picture into another (arXiv 1905.04899), by Beta(cutmix, cutmix)."""


OPTIONS = MultilabelOptions
