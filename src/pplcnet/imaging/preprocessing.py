"""Turns an image into a network's input: (height, width, 3) uint8 RGB.

Training, evaluation, export and prediction all use this module, so that a network sees in use what
it saw when it was measured. Mean and standard deviation are part of the exported graph; they are
here because they belong to the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import InputError
from pplcnet.imaging.decoding import (
    Decoded,
    DecodedImage,
    ImageSource,
    as_image,
    decode_image,
    decode_shrunk,
    size_of,
)
from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.opencv_resizing import Cut, Resized, resize_as_opencv, resize_roughly
from pplcnet.imaging.resizing import resize_decoded, shorten

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Placed", "Preprocessing"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Interpolation = Literal[
    "shrunk-bilinear", "pillow-bilinear", "pillow-bicubic", "opencv-bilinear", "opencv-bicubic"
]
_RESAMPLING = {
    "shrunk-bilinear": Image.Resampling.BILINEAR,
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-bicubic": Image.Resampling.BICUBIC,
    "opencv-bilinear": Image.Resampling.BILINEAR,
    "opencv-bicubic": Image.Resampling.BICUBIC,
}
POLICIES = ("exact", "fast")
# "shrunk-bilinear" leaves its filter this many pixels per input pixel along each side.
SPARE = 2


class Placed(NamedTuple):
    """An image as the network sees it, and how it maps back to the original."""

    pixels: NDArray[np.uint8]
    """(height, width, 3) RGB."""
    geometry: Geometry
    """From the upright image to `pixels`."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to an image before the network sees it; belongs to the weights."""

    image_size: tuple[int, int]
    """(height, width) of the network's input, in pixels."""
    resize: Literal["cover", "stretch", "fit"] = "cover"
    """"cover": scale the image to cover the input divided by `crop_fraction`, keep the aspect
    ratio, and crop the centre. "stretch": scale both sides to the input, whatever the aspect ratio.
    "fit": scale the whole image to fit into the input, keep the aspect ratio, and pad the right or
    the bottom with `mean`. The padding is zero to the network, as in PaddleDetection and
    Detectron2."""
    crop_fraction: float = 0.875
    """For "cover": the fraction of the scaled short side that the centre crop keeps, in (0, 1]."""
    interpolation: Interpolation = "pillow-bilinear"
    """The filter that the weights were measured with. "shrunk-bilinear" reduces the image to 1/2,
    1/4 or 1/8 while both sides keep at least twice the input's resolution (a JPEG while it is
    decoded), resizes that as "pillow-bilinear", and then rotates it upright. The others resize the
    upright image at full size. Pillow's filters antialias; OpenCV's do not, and are computed by
    OpenCV if it is installed, else by Pillow or numpy, equal to within one level."""
    policy: Literal["exact", "fast"] = "exact"
    """"exact" computes exactly that. "fast" decodes a JPEG at 1/2, 1/4 or 1/8 of its size if that
    still covers the input, with libjpeg's faster arithmetic, and resizes as "opencv-bilinear". The
    pixels differ; `pplcnet tune --fast-resize` measures the effect."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB in 0 to 1; inside the exported graph."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divides the result; inside the exported graph."""

    def __post_init__(self) -> None:
        height, width = self.image_size
        if not (1 <= height <= 4096 and 1 <= width <= 4096):
            raise InputError(
                f"image size is {height}x{width}; each side must be from 1 to 4096 pixels."
            )
        if self.resize not in ("cover", "stretch", "fit"):
            raise InputError(
                f"resize is {self.resize!r}; allowed are 'cover', 'stretch' and 'fit'."
            )
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
        """The image as (height, width, 3) uint8 RGB; ImageError if it cannot be used."""
        return self.place(source).pixels

    def place(self, source: ImageSource) -> Placed:
        """The same pixels, with the geometry that maps them back to the image.

        Raises:
            ImageError: the image cannot be used.
        """
        if self.policy == "fast":
            decoded = decode_image(source, self.divisor, rough=True)
        elif self.interpolation == "shrunk-bilinear":
            return self._place_shrunk(decode_shrunk(source, self.divisor))
        else:
            decoded = decode_image(source)
        resized = self._resize(decoded.image)
        (left, top, right, bottom), (height, width) = resized.box, resized.pixels.shape[:2]
        scale = width / (right - left), height / (bottom - top)
        geometry = decoded.geometry.then(scale, (-left * scale[0], -top * scale[1]))
        return Placed(self._pad(resized.pixels), geometry)

    def reuse(self, decoded: Decoded) -> NDArray[np.uint8] | None:
        """The result of a call, from an image that was shrunk for another use.

        None if this preprocessing shrinks by another factor, or does not shrink.
        """
        if self.policy == "fast" or self.interpolation != "shrunk-bilinear":
            return None
        if round(1 / decoded.geometry.scale[0]) != self.divisor(decoded.geometry.size):
            return None
        return self._place_shrunk(decoded).pixels

    def _place_shrunk(self, decoded: Decoded) -> Placed:
        cut = self._cut(size := decoded.geometry.size)
        return Placed(
            self._pad(resize_decoded(decoded, cut.filled, cut.box)), self.geometry_of(size)
        )

    def geometry_of(self, size: tuple[int, int]) -> Geometry:
        """The geometry from an upright image of `size` (width, height); "fast" rounds it."""
        (left, top, right, bottom), (width, height) = (cut := self._cut(size)).box, cut.filled
        scale = width / (right - left), height / (bottom - top)
        return Geometry(size, scale, (-left * scale[0], -top * scale[1]))

    def _resize(self, decoded: DecodedImage) -> Resized:
        """The part of an upright RGB image that the network sees, without padding."""
        if self.policy == "fast":
            return resize_roughly(decoded, self._cut(size_of(decoded)))
        if self.interpolation in ("opencv-bilinear", "opencv-bicubic"):
            cut = self._cut(size_of(decoded))
            return resize_as_opencv(decoded, cut, is_cubic=self.interpolation == "opencv-bicubic")
        image, (across, down) = shorten(as_image(decoded))
        cut = self._cut(image.size)
        pixels = np.asarray(image.resize(cut.filled, _RESAMPLING[self.interpolation], box=cut.box))
        left, top, right, bottom = cut.box
        return Resized(pixels, (left * across, top * down, right * across, bottom * down))

    def _pad(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels padded to the network's input, at its top left."""
        height, width = pixels.shape[:2]
        if (height, width) == self.image_size:
            return pixels
        padded = np.empty((*self.image_size, 3), np.uint8)
        padded[:] = np.rint(np.multiply(self.mean, 255)).clip(0, 255)
        padded[:height, :width] = pixels
        return padded

    def divisor(self, size: tuple[int, int]) -> int:
        """The divisor for the sides of an upright image of `size` before the resize.

        The policy "fast" keeps the input's resolution, "shrunk-bilinear" twice that.
        """
        cut = self._cut(size)
        left, top, right, bottom = cut.box
        enough = min((right - left) / cut.filled[0], (bottom - top) / cut.filled[1])
        if self.policy == "exact":
            enough /= SPARE
        return next(each for each in (8, 4, 2, 1) if each == 1 or enough >= each)

    def _cut(self, size: tuple[int, int]) -> Cut:
        """How an image of `size` (width, height) is scaled and cropped."""
        width, height = size
        input_height, input_width = self.image_size
        if self.resize == "stretch":
            scaled_width, scaled_height = input_width, input_height
        elif self.resize == "fit":
            scale = min(input_height / height, input_width / width)
            scaled_width = min(input_width, max(1, round(width * scale)))
            scaled_height = min(input_height, max(1, round(height * scale)))
        else:
            cover_height = max(input_height, round(input_height / self.crop_fraction))
            cover_width = max(input_width, round(input_width / self.crop_fraction))
            scale = max(cover_height / height, cover_width / width)
            scaled_width = max(input_width, round(width * scale))
            scaled_height = max(input_height, round(height * scale))
        filled_width, filled_height = (
            min(input_width, scaled_width),
            min(input_height, scaled_height),
        )
        left, top = (scaled_width - filled_width) // 2, (scaled_height - filled_height) // 2
        per_x, per_y = width / scaled_width, height / scaled_height
        box = (
            left * per_x,
            top * per_y,
            min((left + filled_width) * per_x, width),
            min((top + filled_height) * per_y, height),
        )
        return Cut((scaled_width, scaled_height), (filled_width, filled_height), left, top, box)

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


def _numbers(values: Sequence[Any]) -> tuple[Any, ...]:
    if not all(isinstance(value, int | float) for value in values):
        raise InputError(f"{values!r} must be numbers.")
    return tuple(values)
