"""A large JPEG whose pixels' memory is released as they are read.

A JPEG has no parts that can be decoded separately. simplejpeg decodes it to three bytes per pixel,
or one for a grey photo, where Pillow takes four.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from pplcnet.errors import ImageError
from pplcnet.imaging.acceleration import optional_module
from pplcnet.imaging.bands import MOST_PIXELS, Bands
from pplcnet.imaging.colour import to_rgb
from pplcnet.imaging.files import read_image_file
from pplcnet.imaging.limits import MAX_MEMORY_BYTES, MAX_PIXELS, check_pixels
from pplcnet.imaging.orientation import read_orientation, upright_size
from pplcnet.imaging.profiles import transform_to_srgb
from pplcnet.imaging.structure import check_structure

__all__ = ["open_jpeg"]

CHANNELS = {"RGB": 3, "L": 1}


class _Jpeg(NamedTuple):
    content: bytes
    size: tuple[int, int]
    """(width, height) as stored."""
    mode: str
    orientation: int
    profile: Any
    """The ICC profile, as found by Pillow."""

    @property
    def bytes(self) -> int:
        """The size of all decoded pixels."""
        return self.size[0] * self.size[1] * CHANNELS[self.mode]


def open_jpeg(file: IO[bytes], name: str, rows: int, most_pixels: int) -> Bands | None:
    """A grey or RGB JPEG, `rows` rows at a time.

    Returns:
        None if Pillow has to decode it: it has other colours or is damaged, or simplejpeg is not
        installed.

    Raises:
        ImageError: it takes more memory than allowed; while reading the parts, it is damaged.
    """
    content = read_image_file(file)
    cost = check_structure(content, "JPEG", name)
    try:
        # Not `Image.open`, which has its own limit.
        image = JpegImageFile(io.BytesIO(content))
    except Exception:  # noqa: BLE001 - decoding reports what is wrong
        return None
    if image.mode not in CHANNELS:
        return None
    profile = image.info.get("icc_profile")
    found = _Jpeg(content, image.size, image.mode, read_orientation(image), profile)
    width, height = found.size
    check_pixels(found.size, name, most=most_pixels)
    if optional_module("simplejpeg") is None:
        if width * height <= MAX_PIXELS:
            return None
        raise ImageError(
            name,
            f"has {width}x{height} pixels; a JPEG of more than {MAX_PIXELS:,} needs simplejpeg "
            "(pip install 'pplcnet[fast]'); a TIFF in tiles or a PNG does not.",
        )
    needed = cost.fixed + found.bytes + width * height * cost.per_pixel
    # Callers that raise the pixel limit are assumed to have the memory.
    allowed = MAX_MEMORY_BYTES * max(1.0, most_pixels / MOST_PIXELS)
    if needed > allowed:
        raise ImageError(
            name,
            f"has {width}x{height} pixels in a JPEG that takes {needed / 1e9:.2f} GB to decode; "
            f"at most {allowed / 1e9:.2f} GB is used. Save it as a TIFF in tiles, or raise the "
            "limit of pixels.",
        )
    return Bands(upright_size(found.size, found.orientation), _parts(found, name, rows))


def _parts(jpeg: _Jpeg, name: str, rows: int) -> Iterator[NDArray[np.uint8]]:
    channels, (width, height) = CHANNELS[jpeg.mode], jpeg.size
    memory = _anonymous(jpeg.bytes)
    simplejpeg: Any = optional_module("simplejpeg")
    try:
        simplejpeg.decode_jpeg(jpeg.content, "RGB" if channels == 3 else "GRAY", buffer=memory)
    except ValueError as error:
        raise ImageError(name, f"truncated or damaged ({str(error).strip()}).") from error
    orientation, profile = jpeg.orientation, jpeg.profile
    has_profile = transform_to_srgb(profile, jpeg.mode) is not None
    del jpeg  # the file, which may be large too
    stored = np.frombuffer(memory, np.uint8, width * height * channels)
    upright = stored.reshape(height, width, channels)
    if orientation == 2:
        upright = upright[:, ::-1]
    elif orientation > 2:  # rows must come in the order in which they are stored
        memory, upright = _turned(memory, upright, orientation, rows)
    del stored
    row_bytes = upright.shape[1] * channels
    for top in range(0, len(upright), rows):
        band = upright[top : top + rows].copy()
        _give_back(memory, (top + len(band)) * row_bytes)
        if channels == 1 or has_profile:
            image = Image.fromarray(band if channels == 3 else band[:, :, 0])
            image.info["icc_profile"] = profile
            band = np.asarray(to_rgb(image, name, is_ours=True))
        yield band


def _turned(
    memory: mmap.mmap, stored: NDArray[np.uint8], orientation: int, rows: int
) -> tuple[mmap.mmap, NDArray[np.uint8]]:
    """The upright image (H, W, C) by EXIF's orientation, in new memory.

    The stored rows are released as they are copied, and the new memory's pages are allocated as
    they are written, so that both together hold little more than one image.
    """
    target = _anonymous(stored.nbytes)
    shape = (stored.shape[1], stored.shape[0]) if orientation >= 5 else stored.shape[:2]
    upright = np.frombuffer(target, np.uint8, stored.size).reshape(*shape, stored.shape[2])
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    place = upright[::down, ::across]
    if orientation >= 5:
        place = place.swapaxes(0, 1)
    row_bytes = stored.shape[1] * stored.shape[2]
    for top in range(0, len(stored), rows):
        end = min(top + rows, len(stored))
        place[top:end] = stored[top:end]
        _give_back(memory, end * row_bytes)
    return target, upright


def _anonymous(size: int) -> mmap.mmap:
    """Memory outside the allocator, so that parts of it can be released to the system."""
    if hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, size)


def _give_back(memory: mmap.mmap, end: int) -> None:
    """Release the pages before `end` to the system."""
    whole = end // mmap.PAGESIZE * mmap.PAGESIZE
    if whole and hasattr(memory, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED, 0, whole)
