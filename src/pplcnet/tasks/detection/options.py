"""The recipe fields of object detection."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pplcnet.models.catalog import DETECTORS
from pplcnet.recipe.task_options import TaskOptions
from pplcnet.recipe.values import Between

if TYPE_CHECKING:
    from pplcnet.recipe.recipe import Recipe

__all__ = ["OPTIONS", "DetectionOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOptions(TaskOptions):
    """The recipe fields for photos with boxes, beside those of every task."""

    data: ClassVar[str] = "detection"
    named_recipe: ClassVar[str | None] = "picodet-finetune"
    scratch_recipe: ClassVar[str | None] = "picodet-scratch"
    networks: ClassVar[Container[str]] = DETECTORS

    multi_scale: Annotated[int, Between(0, 16, off=0)] = 2
    """Give every batch a random input size, up to this many times 32 pixels below or above
    image_size."""
    colour_changes: bool = True
    """Change brightness, contrast, saturation and hue of training photos."""
    atss_part: Annotated[float, Between(0, 1)] = 1 / 3
    """Fraction of the epochs, at the start, in which objects are assigned to the network's cells by
    position alone (ATSS, arXiv 1912.02424); later by its predictions (TAL, arXiv 2108.07755)."""

    @property
    def pools_features(self) -> bool:
        """False: a detector's head takes the features of all positions."""
        return False

    def rules(self, recipe: Recipe) -> Iterator[tuple[str, bool, str]]:
        """Rules between fields, as `TaskOptions.rules` describes them."""
        yield (
            "image_size",
            all(side % 32 == 0 for side in recipe.image_size),
            "must be multiples of 32 for a detector",
        )
        yield (
            "augment",
            recipe.augment == "none",
            "must be none for a detector: it moves objects but not their boxes",
        )
        yield (
            "freeze",
            recipe.freeze != "trunk",
            "must be a stage for a detector, whose neck and head need features at every position",
        )


OPTIONS = DetectionOptions
