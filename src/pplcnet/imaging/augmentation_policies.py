"""RandAugment, AutoAugment and TrivialAugment: random changes of an image's colour and shape.

All draws come from the given generator, so that an image looks the same in a resumed run. Keras has
a RandAugment layer that works on batches; on two cores it makes some 50 images a second, a fifth of
what a small network trains at. Pillow's operations cost a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

__all__ = ["OPERATIONS", "auto_augment", "rand_augment", "trivial_augment"]

LEVELS = 30
GREY = (124, 116, 104)
"""ImageNet's mean, which fills areas from outside the image."""

Operation = Callable[[Image.Image, float], Image.Image]


def _affine(image: Image.Image, *terms: float) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, terms, Image.Resampling.BILINEAR, fillcolor=GREY
    )


def _shear_x(image: Image.Image, part: float) -> Image.Image:
    return _affine(image, 1, part, -part * image.height / 2, 0, 1, 0)


def _shear_y(image: Image.Image, part: float) -> Image.Image:
    return _affine(image, 1, 0, 0, part, 1, -part * image.width / 2)


def _translate_x(image: Image.Image, part: float) -> Image.Image:
    return _affine(image, 1, 0, part * image.width, 0, 1, 0)


def _translate_y(image: Image.Image, part: float) -> Image.Image:
    return _affine(image, 1, 0, 0, 0, 1, part * image.height)


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=GREY)


def _solarize_below(image: Image.Image, drop: float) -> Image.Image:
    return ImageOps.solarize(image, round(256 - drop))


def _posterize_by(image: Image.Image, bits: float) -> Image.Image:
    return ImageOps.posterize(image, 8 - round(bits))


def _enhance(kind: type) -> Operation:
    return lambda image, change: kind(image).enhance(1 + change)


# Name to the operation, its value at full strength, and whether its sign is random. The values are
# those of the AutoAugment paper (arXiv 1805.09501, table 6), which RandAugment adopted.
OPERATIONS: dict[str, tuple[Operation, float, bool]] = {
    "identity": (lambda image, _: image, 0.0, False),
    "autocontrast": (lambda image, _: ImageOps.autocontrast(image), 0.0, False),
    "equalize": (lambda image, _: ImageOps.equalize(image), 0.0, False),
    "invert": (lambda image, _: ImageOps.invert(image), 0.0, False),
    "rotate": (_rotate, 30.0, True),
    "solarize": (_solarize_below, 256.0, False),
    "posterize": (_posterize_by, 4.0, False),
    "color": (_enhance(ImageEnhance.Color), 0.9, True),
    "contrast": (_enhance(ImageEnhance.Contrast), 0.9, True),
    "brightness": (_enhance(ImageEnhance.Brightness), 0.9, True),
    "sharpness": (_enhance(ImageEnhance.Sharpness), 0.9, True),
    "shear_x": (_shear_x, 0.3, True),
    "shear_y": (_shear_y, 0.3, True),
    "translate_x": (_translate_x, 0.45, True),
    "translate_y": (_translate_y, 0.45, True),
}
# RandAugment's fourteen (arXiv 1909.13719, section 3.1): all but invert.
_DRAWN = tuple(name for name in OPERATIONS if name != "invert")

# AutoAugment's policy for ImageNet (arXiv 1805.09501, table 9): pairs of operations, each with its
# probability and its strength from 0 to 9.
_Step = tuple[str, float, int]
_IMAGENET_POLICY: tuple[tuple[_Step, _Step], ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)


def rand_augment(
    image: Image.Image, generator: np.random.Generator, *, operations: int, magnitude: int
) -> Image.Image:
    """`operations` uniformly drawn ones, each at `magnitude` out of 30 (Cubuk et al. 2019)."""
    for name in generator.choice(_DRAWN, operations):
        image = _apply(image, str(name), magnitude / LEVELS, generator)
    return image


def trivial_augment(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """One operation, at a strength drawn uniformly (Mueller and Hutter 2021)."""
    name = str(generator.choice(_DRAWN))
    return _apply(image, name, int(generator.integers(0, LEVELS + 1)) / LEVELS, generator)


def auto_augment(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """One of the 25 pairs that AutoAugment found for ImageNet (Cubuk et al. 2018)."""
    for name, probability, strength in _IMAGENET_POLICY[generator.integers(len(_IMAGENET_POLICY))]:
        if generator.random() < probability:
            image = _apply(image, name, strength / 9, generator)
    return image


def _apply(
    image: Image.Image, name: str, strength: float, generator: np.random.Generator
) -> Image.Image:
    """Apply the operation at a fraction (0 to 1) of its full value."""
    operation, full, has_direction = OPERATIONS[name]
    direction = -1 if has_direction and generator.random() < 0.5 else 1
    return operation(image, direction * full * strength)
