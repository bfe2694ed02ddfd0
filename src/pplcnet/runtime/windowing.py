"""Large photos segmented window by window, each seen in its own pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pplcnet.errors import ImageError, InputError
from pplcnet.imaging.decoding import DecodedImage, ImageSource, decode_image, size_of
from pplcnet.imaging.windows import Window, windows_over
from pplcnet.runtime.model import Model
from pplcnet.runtime.sources import describe
from pplcnet.tasks.segmentation.decoding import Segmentation
from pplcnet.tasks.segmentation.windowed import Answered, class_map_of_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Windows", "predict_in_windows", "predict_many_in_windows", "windows_of"]

OVERLAP = 0.25
MIN_SIDE, MAX_SIDE, MAX_WINDOWS = 32, 16_384, 20_000


@dataclass(frozen=True, slots=True)
class Windows:
    """How a photo is cut, in its own pixels."""

    size: tuple[int, int]
    """(height, width) of a window."""
    stride: tuple[int, int]
    """(down, to the right) from one window to the next."""


def windows_of(
    window: int | tuple[int, int], stride: int | tuple[int, int] | None = None
) -> Windows:
    """Windows of a side, or of (height, width).

    Args:
        stride: from one window to the next, one number or (down, to the right); None for three
            quarters of a window.

    Raises:
        InputError: a side from 32 to 16384 pixels, or a stride from 1 to the window's side, is
            missing.
    """
    height, width = (window, window) if isinstance(window, int) else window
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (height, width)):
        raise InputError(
            f"windows of {height}x{width}; each side must be from {MIN_SIDE} to {MAX_SIDE} pixels "
            "of the photo."
        )
    if stride is None:
        down, right = (max(1, round(side * (1 - OVERLAP))) for side in (height, width))
    else:
        down, right = (stride, stride) if isinstance(stride, int) else stride
    if not (1 <= down <= height and 1 <= right <= width):
        raise InputError(
            f"a stride of {down}x{right} for windows of {height}x{width}; it must be at least 1 "
            "and at most as large as the window."
        )
    return Windows((height, width), (down, right))


def predict_in_windows(
    model: Model[Segmentation], image: ImageSource, windows: Windows
) -> Segmentation:
    """The classes of an image that is looked at in overlapping windows.

    Each window is resized to the network's input; where the windows have its size, the image's own
    pixels are seen. The logits of windows that overlap are averaged. An image that is smaller than
    a window on a side is one window along it.

    Raises:
        ImageError: the image cannot be used.
        InputError: there would be too many windows, or the bundle crops its photos.
    """
    name = describe(image)
    if model.manifest.preprocessing.resize == "cover":
        raise InputError(
            f"{name}: windows are for bundles that see whole photos; this one cuts their centre "
            "out (resize is 'cover')."
        )
    decoded = decode_image(image).image
    width, height = size_of(decoded)
    places = windows_over((height, width), windows.size, windows.stride)
    if len(places) > MAX_WINDOWS:
        raise InputError(
            f"{name}: {width}x{height} pixels are {len(places):,} windows; at most {MAX_WINDOWS:,} "
            "are looked at. Take larger ones, or a larger stride."
        )
    outputs = model.run_many(_cut(decoded, place) for place in places)
    answers: Iterator[Answered] = (
        (place, found["logits"], geometry)
        for place, (found, geometry) in zip(places, outputs, strict=True)
    )
    input_size = model.manifest.preprocessing.image_size
    found = class_map_of_windows((height, width), answers, input_size)
    return Segmentation(name, None, found, model.classes)


def _cut(decoded: DecodedImage, window: Window) -> NDArray[np.uint8]:
    """A window's pixels (h, w, 3): a view, or of a PIL image, whose whole may be too large to be
    there twice, a copy."""
    left, top, right, bottom = window
    if isinstance(decoded, Image.Image):
        return np.asarray(decoded.crop((left, top, right, bottom)))
    return decoded[top:bottom, left:right]


def predict_many_in_windows(
    model: Model[Segmentation], images: Iterator[ImageSource], windows: Windows
) -> Iterator[Segmentation]:
    """As `predict_in_windows`, one image after the other; one that cannot be used has an error."""
    for image in images:
        try:
            yield predict_in_windows(model, image, windows)
        except ImageError as error:
            yield Segmentation(describe(image), error)
