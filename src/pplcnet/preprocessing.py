"""One picture, in whatever form, to what a network takes: (height, width, 3) uint8 RGB.

Training, evaluation, export and prediction all go through this module, so that a network sees in
use what it saw when it was measured. Mean and standard deviation are part of the exported graph;
they stand here because they travel with the weights.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pplcnet.errors import ImageError, InputError

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "IMAGE_ENDINGS",
    "MAX_PIXELS",
    "ImageSource",
    "Preprocessing",
    "decode",
]

ImageSource = str | os.PathLike[str] | bytes | bytearray | Image.Image | NDArray[np.uint8]

IMAGE_ENDINGS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"]
)
# "JPEG" also opens MPO, what some phones write; naming MPO here would fail on other files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

# Above the largest phone cameras' everyday modes, below what a decompression bomb wants: 150
# megapixels are 450 MB once decoded.
MAX_PIXELS = 150_000_000
# Pillow warns from 89 megapixels on; the limit above is checked here, before anything is decoded.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Interpolation = Literal["pillow-bilinear", "pillow-bicubic", "opencv-bilinear"]
_RESAMPLING = {
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-bicubic": Image.Resampling.BICUBIC,
    "opencv-bilinear": Image.Resampling.BILINEAR,
}


def decode(source: ImageSource, *, at_least: int | None = None) -> Image.Image:
    """Decode a picture to the upright RGB that a person sees.

    The orientation in EXIF is applied; transparency is laid on white; greyscale, palette, CMYK
    and 16-bit pictures become 8-bit RGB; of an animation the first frame is taken.

    Args:
        source: a path, the bytes of an image file, a PIL image, or an array: (H, W) or (H, W, 1)
            grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
        at_least: when given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as its
            short side keeps this many pixels. Faster, and not the same pixels: for training.

    Raises:
        ImageError: names the source, and says what is wrong with it.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _to_rgb(source, "the PIL image")
    if isinstance(source, bytes | bytearray):
        return _from_bytes(bytes(source), f"the image of {len(source)} bytes", at_least)
    name = os.fspath(source)
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror}).") from error
    return _from_bytes(content, name, at_least)


def _from_bytes(content: bytes, name: str, at_least: int | None) -> Image.Image:
    if not content:
        raise ImageError(name, "the file is empty (zero bytes).")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            name, "not an image (JPEG, PNG, WebP, BMP, GIF and TIFF are read)."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(name, f"has more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:  # decoders of damaged headers raise nearly anything
        raise ImageError(name, f"cannot be decoded ({error}).") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(name, f"has {width}x{height} pixels; at most {MAX_PIXELS:,} are decoded.")
    try:
        if at_least is not None and image.format in ("JPEG", "MPO"):
            scale = at_least / min(width, height)
            image.draft("RGB", (math.ceil(width * scale), math.ceil(height * scale)))
        image.load()
    except Exception as error:
        raise ImageError(name, f"truncated or damaged ({error}).") from error
    return _to_rgb(image, name)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    with contextlib.suppress(Exception):  # damaged EXIF says nothing about the pixels
        image = ImageOps.exif_transpose(image)
    try:
        if image.mode == "RGB":
            return image
        if image.mode.startswith("I;16") or image.mode in ("I", "F"):
            return _from_deep_grey(image, name)
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, rgba).convert("RGB")
        return image.convert("RGB")
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(name, f"cannot be converted to RGB ({error}).") from error


def _from_deep_grey(image: Image.Image, name: str) -> Image.Image:
    """16-bit grey to 8 bits. Pillow's own convert() clips at 255, which turns photos white."""
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ImageError(
            name, "its grey values are not 8 or 16 bit whole numbers; save it as 8 or 16 bit."
        )
    grey = (values.astype(np.uint32) * 255 + 32767) // 65535
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _from_array(array: NDArray[Any]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ImageError(
            f"the array of shape {array.shape} and type {array.dtype}",
            "must be uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).",
        )
    if array.size == 0:
        raise ImageError(f"the array of shape {array.shape}", "has no pixels.")
    if array.ndim == 3 and channels == 1:
        array = array[:, :, 0]
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), "the array")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to a picture before the network sees it; travels with the weights."""

    image_size: tuple[int, int]
    """(height, width) that the network takes, in pixels."""
    resize: Literal["cover", "stretch"] = "cover"
    """"cover": scale until the picture covers the input divided by `crop_fraction`, keep the
    aspect, cut the centre out. "stretch": scale both sides to the input, aspect be damned."""
    crop_fraction: float = 0.875
    """For "cover": the part of the scaled short side that the centre cut keeps (0 to 1]."""
    interpolation: Interpolation = "pillow-bilinear"
    """The library whose filter the weights were measured with. Pillow's antialias, OpenCV's does
    not; it is computed here without OpenCV, equal within one level."""
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
        if self.interpolation not in _RESAMPLING:
            raise InputError(
                f"interpolation is {self.interpolation!r}; allowed are {', '.join(_RESAMPLING)}."
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not all(each > 0 for each in self.std):
            raise InputError("mean and std must be three numbers each, std above 0.")

    def __call__(self, source: ImageSource) -> NDArray[np.uint8]:
        """The picture as (height, width, 3) uint8 RGB; ImageError when it cannot be used."""
        return self.fit(decode(source))

    def fit(self, image: Image.Image) -> NDArray[np.uint8]:
        """An upright RGB picture as (height, width, 3) uint8."""
        height, width = self.image_size
        box = self._box(image.size)
        resampling = _RESAMPLING[self.interpolation]
        if self.interpolation == "opencv-bilinear":
            # Pillow's transform, unlike its resize, looks at the four nearest pixels only.
            left, top, right, bottom = box
            affine = ((right - left) / width, 0, left, 0, (bottom - top) / height, top)
            return np.asarray(
                image.transform((width, height), Image.Transform.AFFINE, affine, resampling)
            )
        return np.asarray(image.resize((width, height), resampling, box=box))

    def _box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The part of a picture of `size` (width, height) that the network sees.

        Resizing just that part gives the same pixels as resizing everything and cutting the
        centre out, without computing the margins.
        """
        width, height = size
        if self.resize == "stretch":
            return 0.0, 0.0, float(width), float(height)
        crop_height, crop_width = self.image_size
        cover_height = max(crop_height, round(crop_height / self.crop_fraction))
        cover_width = max(crop_width, round(crop_width / self.crop_fraction))
        scale = max(cover_height / height, cover_width / width)
        scaled_width = max(crop_width, round(width * scale))
        scaled_height = max(crop_height, round(height * scale))
        left, top = (scaled_width - crop_width) // 2, (scaled_height - crop_height) // 2
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


def _numbers(values: Sequence[Any]) -> tuple[Any, ...]:
    if not all(isinstance(value, int | float) for value in values):
        raise InputError(f"{values!r} must be numbers.")
    return tuple(values)
