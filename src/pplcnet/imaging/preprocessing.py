"""A picture to what a network takes: (height, width, 3) uint8 RGB.

Training, evaluation, export and prediction all go through this module, so that a network sees in
use what it saw when it was measured. Mean and standard deviation are part of the exported graph;
they stand here because they travel with the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import InputError
from pplcnet.imaging.decoding import (
    MAX_ARRAY_PIXELS,
    DecodedImage,
    ImageSource,
    as_image,
    decode_image,
    optional_module,
)

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preprocessing"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Interpolation = Literal["pillow-bilinear", "pillow-bicubic", "opencv-bilinear"]
_RESAMPLING = {
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-bicubic": Image.Resampling.BICUBIC,
    "opencv-bilinear": Image.Resampling.BILINEAR,
}
POLICIES = ("exact", "fast")
# OpenCV resizes the whole picture: 48 MB at this size, gigabytes for a picture of a line of pixels.
MAX_SCALED_PIXELS = 16_000_000
# No photo is longer: a JPEG has 65,535 pixels at most.
MAX_FILTERED_SIDE = 1_000_000


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to a picture before the network sees it; travels with the weights."""

    image_size: tuple[int, int]
    """(height, width) that the network takes, in pixels."""
    resize: Literal["cover", "stretch"] = "cover"
    """"cover": scale until the picture covers the input divided by `crop_fraction`, keep the
    aspect, cut the centre out. "stretch": scale both sides to the input, whatever the aspect."""
    crop_fraction: float = 0.875
    """For "cover": the part of the scaled short side that the centre crop keeps (0 to 1]."""
    interpolation: Interpolation = "pillow-bilinear"
    """The library whose filter the weights were measured with. Pillow's antialias, OpenCV's does
    not; it is computed by OpenCV where that is installed, elsewhere by Pillow, equal within one
    level."""
    policy: Literal["exact", "fast"] = "exact"
    """"exact" computes just that. "fast" decodes a JPEG at 1/2, 1/4 or 1/8 of its size where that
    still covers the input, with libjpeg's faster arithmetic, and resizes as "opencv-bilinear":
    other pixels, whose effect has to be measured (`pplcnet tune --fast-resize`)."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB in 0 to 1; inside the exported graph."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divides what is left; inside the exported graph."""

    def __post_init__(self) -> None:
        height, width = self.image_size
        if not (1 <= height <= 4096 and 1 <= width <= 4096):
            raise InputError(
                f"image size is {height}x{width}; each side must be from 1 to 4096 pixels."
            )
        if self.resize not in ("cover", "stretch"):
            raise InputError(f"resize is {self.resize!r}; allowed are 'cover' and 'stretch'.")
        if not 0 < self.crop_fraction <= 1:
            raise InputError(f"crop_fraction is {self.crop_fraction}; it must be in (0, 1].")
        if self.policy not in POLICIES:
            raise InputError(f"policy is {self.policy!r}; allowed are {' and '.join(POLICIES)}.")
        if self.interpolation not in _RESAMPLING:
            raise InputError(
                f"interpolation is {self.interpolation!r}; allowed are {', '.join(_RESAMPLING)}."
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not all(each > 0 for each in self.std):
            raise InputError("mean and std must be three numbers each, std above 0.")

    def __call__(self, source: ImageSource) -> NDArray[np.uint8]:
        """The picture as (height, width, 3) uint8 RGB; ImageError when it cannot be used."""
        if self.policy == "fast":
            return self.fit(decode_image(source, self._divisor, rough=True))
        return self.fit(decode_image(source))

    def fit(self, decoded: DecodedImage) -> NDArray[np.uint8]:
        """An upright RGB picture as (height, width, 3) uint8."""
        if self.policy == "fast" or self.interpolation == "opencv-bilinear":
            return self._fit_four_nearest(decoded)
        image = _without_endless_sides(as_image(decoded))
        height, width = self.image_size
        resampling = _RESAMPLING[self.interpolation]
        return np.asarray(image.resize((width, height), resampling, box=self._box(image.size)))

    def _fit_four_nearest(self, decoded: DecodedImage) -> NDArray[np.uint8]:
        """Bilinear interpolation of the four nearest pixels, as OpenCV's INTER_LINEAR."""
        height, width = self.image_size
        width_now, height_now = _size(decoded)
        # OpenCV takes arrays; of a large PIL image that would be a second copy.
        opencv = optional_module("cv2") if width_now * height_now <= MAX_ARRAY_PIXELS else None
        if opencv is not None and self.policy == "fast":
            # The part that the network sees, to whole pixels: nothing else is computed.
            x0, y0, x1, y1 = map(round, self._box(_size(decoded)))
            part = np.asarray(decoded)[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
            resized: NDArray[np.uint8] = opencv.resize(part, (width, height))
            return resized
        (scaled_width, scaled_height), cut_left, cut_top = self._scaled(_size(decoded))
        if opencv is None or scaled_width * scaled_height > MAX_SCALED_PIXELS:
            image = as_image(decoded)
            left, top, right, bottom = self._box(image.size)
            # Pillow's transform, unlike its resize, looks at the four nearest pixels only.
            affine = ((right - left) / width, 0, left, 0, (bottom - top) / height, top)
            return np.asarray(
                image.transform(
                    (width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
                )
            )
        pixels: NDArray[np.uint8] = np.asarray(decoded)
        pixels = opencv.resize(
            pixels, (scaled_width, scaled_height), interpolation=opencv.INTER_LINEAR
        )
        return np.ascontiguousarray(pixels[cut_top : cut_top + height, cut_left : cut_left + width])

    def _divisor(self, size: tuple[int, int]) -> int:
        """What a picture of `size` can be divided by and still have the input's resolution."""
        height, width = self.image_size
        left, top, right, bottom = self._box(size)
        enough = min((right - left) / width, (bottom - top) / height)
        return next(each for each in (8, 4, 2, 1) if each == 1 or enough >= each)

    def _scaled(self, size: tuple[int, int]) -> tuple[tuple[int, int], int, int]:
        """(width, height) that a picture of `size` is scaled to; left and top of the cut there."""
        width, height = size
        crop_height, crop_width = self.image_size
        if self.resize == "stretch":
            return (crop_width, crop_height), 0, 0
        cover_height = max(crop_height, round(crop_height / self.crop_fraction))
        cover_width = max(crop_width, round(crop_width / self.crop_fraction))
        scale = max(cover_height / height, cover_width / width)
        scaled_width = max(crop_width, round(width * scale))
        scaled_height = max(crop_height, round(height * scale))
        left, top = (scaled_width - crop_width) // 2, (scaled_height - crop_height) // 2
        return (scaled_width, scaled_height), left, top

    def _box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The part of a picture of `size` (width, height) that the network sees.

        Resizing just that part gives the same pixels as resizing everything and cutting the
        centre out, without computing the margins.
        """
        width, height = size
        crop_height, crop_width = self.image_size
        (scaled_width, scaled_height), left, top = self._scaled(size)
        per_x, per_y = width / scaled_width, height / scaled_height
        return (
            left * per_x,
            top * per_y,
            min((left + crop_width) * per_x, width),
            min((top + crop_height) * per_y, height),
        )

    def normalize(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB (..., 3) to the normalised float32 that the Keras model takes."""
        std: NDArray[np.float32] = np.asarray(self.std, np.float32)
        scale: NDArray[np.float32] = 1.0 / (255.0 * std)
        shift: NDArray[np.float32] = np.asarray(self.mean, np.float32) / std
        normalized: NDArray[np.float32] = images.astype(np.float32)
        normalized *= scale
        normalized -= shift
        return normalized

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, for a manifest."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`; InputError for unknown, missing or wrong values."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise InputError(f"unknown preprocessing {', '.join(sorted(unknown))}.")
        try:
            plain: dict[str, Any] = {
                key: _numbers(value) if isinstance(value, list | tuple) else value
                for key, value in values.items()
            }
            return cls(**plain)
        except (TypeError, ValueError) as error:
            raise InputError(f"preprocessing {dict(values)!r} is not usable: {error}") from error


def _without_endless_sides(image: Image.Image) -> Image.Image:
    """Pillow keeps a weight for every pixel along a side: gigabytes for a line of pixels."""
    factors = [-(-side // MAX_FILTERED_SIDE) for side in image.size]
    return image if factors == [1, 1] else image.reduce((factors[0], factors[1]))


def _numbers(values: Sequence[Any]) -> tuple[Any, ...]:
    if not all(isinstance(value, int | float) for value in values):
        raise InputError(f"{values!r} must be numbers.")
    return tuple(values)


def _size(decoded: DecodedImage) -> tuple[int, int]:
    """(width, height)."""
    if isinstance(decoded, Image.Image):
        return decoded.size
    return decoded.shape[1], decoded.shape[0]
