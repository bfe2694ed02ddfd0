"""The settings of pretraining. For the defaults, see docs/decisions, formula-driven pretraining."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

__all__ = ["Amounts", "Plan"]


class Amounts(NamedTuple):
    """The number of pictures to draw, and their size."""

    fractals: int = 40
    """Number of fractal classes."""
    contours: int = 40
    """Number of contour classes."""
    textures: int = 20
    """Number of texture classes."""
    each: int = 40
    """Pictures per class."""
    side: int = 96
    """Side of a picture in pixels; views are resampled from it."""


@dataclass(frozen=True)
class Plan:
    """The choices of a pretraining; the same plan on the same backend gives the same backbone."""

    views: int = 200_000
    """Views to train on, each drawn once."""
    seed: int = 0
    sizes: tuple[int, ...] = (48, 64)
    """Pixels of a view, for equal parts of the training."""
    batch_size: int = 32
    rate: float = 0.1
    """The highest learning rate; it falls to 0 as half a cosine."""
    weight_decay: float = 1e-3
    """A step multiplies kernels by 1 - rate * weight_decay."""
    batchnorm_scale: float = 0.2
    """Initial scale of every BatchNorm before hard-swish, as in training from scratch."""
    pictures: Amounts = field(default_factory=Amounts)
    without: tuple[str, ...] = ()
    """Layers to leave out of the file, besides the classifier."""

    def facts(self) -> dict[str, Any]:
        """The plan as values that JSON can hold."""
        return {**asdict(self), "pictures": self.pictures._asdict()}
