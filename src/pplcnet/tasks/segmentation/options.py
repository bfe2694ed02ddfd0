"""The recipe fields of segmentation."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pplcnet.models.catalog import SEGMENTERS
from pplcnet.recipe.fields import Need
from pplcnet.recipe.task_options import TaskOptions
from pplcnet.recipe.values import Between, Rising

if TYPE_CHECKING:
    from pplcnet.recipe.recipe import Recipe

__all__ = ["OPTIONS", "SegmentationOptions"]

_PLAIN = Need(
    lambda _, options: options.pixel_loss == "cross-entropy", "pixel_loss is not cross-entropy"
)
_HARD = Need(
    lambda _, options: options.pixel_loss != "cross-entropy", "pixel_loss is cross-entropy"
)
_OHEM = Need(lambda _, options: options.pixel_loss == "ohem", "pixel_loss is not ohem")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationOptions(TaskOptions):
    """The recipe fields for photos with masks, beside those of every task."""

    data: ClassVar[str] = "segmentation"
    named_recipe: ClassVar[str | None] = "mobileseg-finetune"
    networks: ClassVar[Container[str]] = SEGMENTERS

    pixel_loss: Literal["cross-entropy", "ohem", "hardest"] = "cross-entropy"
    """Per-pixel loss: cross-entropy of all pixels; of those whose class has a low probability
    (ohem, arXiv 1604.03540); or of the hardest."""
    class_weights: Annotated[Literal["none", "balanced"], _PLAIN] = "none"
    """balanced: weights each class by how much rarer it is than average, by the pixels of the
    training masks."""
    ohem_threshold: Annotated[float, Between(0, 1), _OHEM] = 0.7
    """ohem counts pixels whose class has a lower probability."""
    hard_pixels: Annotated[float, Between(0, 1, "low"), _HARD] = 0.062
    """Fraction of a batch's pixels that hardest counts, and that ohem counts at least."""
    dice: Annotated[float, Between(0, 1)] = 0.0
    """Fraction of the loss that is Dice loss (arXiv 1606.04797)."""
    lovasz: Annotated[float, Between(0, 1)] = 0.0
    """Fraction of the loss that is Lovasz-softmax (arXiv 1705.08790), which optimises the IoU."""
    training_heads: bool = True
    """Train a MobileSeg with a head and a loss on every level; only the finest is kept."""
    pixel_step: Annotated[int, Between(1, 16)] = 1
    """Compute the loss on every n-th pixel in each direction. Each logit covers 4 to 32 pixels, so
    the pixels in between add little but time."""
    passes: Annotated[int, Between(1, 1000)] = 1
    """How often an epoch shows each photo. Validation follows every epoch, and with few photos
    takes as long as a pass over them."""
    crop: Annotated[float, Between(0.1, 1)] = 1.0
    """Size of the training crop as a fraction of image_size's sides. A smaller one gives more, and
    more varied, steps in the same time."""
    scales: Annotated[tuple[float, float], Rising(0.1, 10)] = (0.5, 2.0)
    """Smallest and largest size of a training photo, as a multiple of its size in evaluation. It is
    then cropped, and padded where it is smaller than the crop."""
    scale_step: Annotated[float, Between(0, 10, off=0)] = 0.25
    """Step between the sizes that are drawn, counted from the smallest."""
    vertical_flip: bool = False
    """Flip training photos upside down with probability 1/2, for aerial photos."""
    rotation: Annotated[float, Between(0, 180, off=0)] = 0.0
    """Rotate training photos by up to this many degrees in either direction."""
    colour_jitter: Annotated[float, Between(0, 1, off=0)] = 0.5
    """Change brightness, contrast and saturation by up to this fraction, and the hue a little, each
    with probability 1/2."""

    @property
    def pools_features(self) -> bool:
        """False: a segmenter's head takes the features of all positions."""
        return False

    @property
    def crops_by_area(self) -> bool:
        """True: crops have the size of the input and come from photos of different sizes."""
        return False

    def rules(self, recipe: Recipe) -> Iterator[tuple[str, bool, str]]:
        """Rules between fields, as `TaskOptions.rules` describes them."""
        yield (
            "pixel_step",
            self.pixel_step <= min(recipe.image_size),
            "must be at most the sides of image_size",
        )
        yield ("lovasz", self.dice + self.lovasz <= 1, "must be at most 1 together with dice")
        yield (
            "augment",
            recipe.augment == "none",
            "must be none for segmentation: it moves pixels but not their classes",
        )
        yield (
            "random_erasing",
            recipe.random_erasing == 0,
            "must be 0 for segmentation: erased pixels would keep their class",
        )
        yield (
            "freeze",
            recipe.freeze != "trunk",
            "must be a stage for segmentation, whose head needs features at every position",
        )


OPTIONS = SegmentationOptions
