"""ICC profiles: the transform from an image's own colours to sRGB, if it needs one.

lcms computes it with the perceptual intent, as colour-managed viewers do. A profile that
changes no colour by more than PROFILE_TOLERANCE levels counts as sRGB; a damaged one, or one for
another colour space than the image's, is ignored.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

__all__ = ["MAX_PROFILE_BYTES", "Transform", "transform_to_srgb"]

PROFILE_TOLERANCE = 2
MAX_PROFILE_BYTES = 4_000_000
# The colour space in a profile's header, by the mode of the images that it applies to.
PROFILE_SPACES = {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}

Transform = Callable[[Image.Image], Image.Image]
"""Converts an image of the profile's mode to RGB; an RGB image is changed in place."""


def transform_to_srgb(profile: object, mode: str) -> Transform | None:
    """The transform from an image's ICC profile to sRGB; None if the colours are the same.

    Args:
        profile: what Pillow found; not always bytes.
        mode: "RGB", "L", "CMYK" or "LAB" (which needs no profile); others have no transform.
    """
    if mode == "LAB":
        return _build_transform(b"", mode)
    if mode not in PROFILE_SPACES or not isinstance(profile, bytes):
        return None
    if profile[16:20] != PROFILE_SPACES[mode] or len(profile) > MAX_PROFILE_BYTES:
        return None
    return _build_transform(profile, mode)


@lru_cache(maxsize=16)
def _build_transform(profile: bytes, mode: str) -> Transform | None:
    """The transform from a profile to sRGB; None if it changes almost nothing, or is damaged."""
    from PIL import ImageCms  # Only photos with a profile need lcms.

    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if profile
            else ImageCms.createProfile("LAB"),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            # Without the cache for the last pixel, threads can share the transform.
            flags=ImageCms.Flags.NOCACHE,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None

    def apply(image: Image.Image) -> Image.Image:
        in_place = image.mode == "RGB"
        return ImageCms.applyTransform(image, transform, inPlace=in_place) or image

    if mode in ("RGB", "L"):
        probe = _probe(mode)
        expected = np.asarray(probe.convert("RGB")).astype(int)
        if np.abs(np.asarray(apply(probe.copy())) - expected).max() <= PROFILE_TOLERANCE:
            return None
    return apply


def _probe(mode: str) -> Image.Image:
    """Colours from all over the RGB cube, or all grey levels."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(colours.reshape(18, -1, 3))
