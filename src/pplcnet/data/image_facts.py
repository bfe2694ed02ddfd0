"""Facts about an image that has been opened, and whether its file has changed since."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b, sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.data.image_files import FileState, read_image_file
from pplcnet.data.near_duplicates import fingerprint
from pplcnet.errors import DatasetError, ImageError
from pplcnet.imaging.decoding import (
    Decoded,
    DecodedImage,
    as_image,
    decode_image,
    shrunk,
    size_of,
    stated_pixels,
    turned_upright,
)
from pplcnet.imaging.kept import divisor_for_crops
from pplcnet.imaging.limits import check_memory
from pplcnet.system.parallel import Room, in_order
from pplcnet.system.wording import counted, listed

__all__ = [
    "AUDIT_ALONE",
    "KEPT_SIDE",
    "Handover",
    "ImageFacts",
    "Opened",
    "OpeningProgress",
    "Receiver",
    "digest_in_full",
    "open_each",
    "raise_changed",
]

BAND_PIXELS = 4_000_000
KEPT_SIDE = 336
"""The short side of the pictures that training keeps with default settings, in pixels."""
OUTLINE_SIDE = 8


class ImageFacts(NamedTuple):
    """Facts about a readable image and its file."""

    width: int
    """The size of the upright image, in pixels."""
    height: int
    pixels: str
    """Digest of the decoded image: equal for the same pixels in another file or format. For a large
    JPEG, that of the image at 1/2 to 1/8, until `copies.compare_in_full` has looked at it."""
    fingerprint: NDArray[np.uint64] | None = None
    """The result of `near_duplicates.fingerprint`; None unless requested."""
    content: str = ""
    """sha256 of the file."""
    state: FileState | None = None
    """The state of the file when it was read."""
    is_whole: bool = True
    """Whether `pixels` is the digest of the full-size image."""
    outline: bytes = b""
    """For a large image: 8x8 RGB pixels, which distinguish it from most others."""


class Opened(NamedTuple):
    """One opened file: an error, or else the facts."""

    error: ImageError | None
    facts: ImageFacts = ImageFacts(0, 0, "")


Receiver = Callable[[Path, Decoded], None]
"""Takes an image as shrunk by `divisor_for_crops`, not turned upright; called by threads."""


class Handover(NamedTuple):
    """A receiver of the decoded images, besides the audit itself."""

    side: int = KEPT_SIDE
    """The short side, in pixels, of the pictures made from them."""
    receive: Receiver | None = None


AUDIT_ALONE = Handover()
"""No other receiver."""
OpeningProgress = Callable[[Iterable[Opened], int], Iterable[Opened]]
"""Wraps the stream of opened images, given their total, for a progress bar."""


def open_each(
    paths: Sequence[Path],
    workers: int | None,
    progress: OpeningProgress,
    *,
    fingerprints: bool = False,
    handover: Handover = AUDIT_ALONE,
) -> list[Opened]:
    """Read and decode each file once; returns the results in the order of the paths.

    A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which still reads the whole file.

    Args:
        workers: threads that decode; None for one on each core.
        fingerprints: also compute the fingerprints that near-duplicates are found by.
        handover: receives every readable image.
    """
    open_one = partial(_open, handover=handover, room=Room(), with_fingerprint=fingerprints)
    return list(progress(in_order(open_one, paths, workers), len(paths)))


def raise_changed(place: Path, root: Path, facts: Mapping[Path, ImageFacts]) -> None:
    """Raise DatasetError naming the images that are gone or whose content has changed.

    Args:
        place: the data set, for the message.
        root: the folder that the images' names are relative to.
    """
    changed = [path for path, each in facts.items() if _is_changed(path, each)]
    if changed:
        names = [os.path.relpath(path, root) for path in changed]
        raise DatasetError(
            f"{place}: {counted(len(changed), 'photo')} changed or disappeared since the run read "
            f"the photos ({listed(names)}). Restore them and --resume the run, or start a new one."
        )


def _is_changed(path: Path, facts: ImageFacts) -> bool:
    """Ask the file system first, which is a thousand times faster than reading the content."""
    try:
        if FileState.of(path.stat()) == facts.state:
            return False
        return sha256(read_image_file(path).content).hexdigest() != facts.content
    except OSError:
        return True


def _open(path: Path, *, handover: Handover, room: Room, with_fingerprint: bool) -> Opened:
    if not _is_utf8(path):
        return Opened(ImageError(os.fspath(path), "its name is not UTF-8; rename it."))
    try:
        content, state = read_image_file(path)
    except OSError as error:
        return Opened(ImageError(os.fspath(path), f"cannot be read ({error.strerror})."))
    shrink = partial(divisor_for_crops, side=handover.side)
    with room.for_pixels(stated_pixels(content, shrink)):
        try:
            decoded = decode_image(content, shrink, upright=False)
            pixels = _digest_upright(decoded)
        except ImageError as error:
            return Opened(ImageError(os.fspath(path), error.reason))
        is_whole, full = decoded.geometry.scale[0] == 1, decoded.geometry.size
        decoded = shrunk(decoded, shrink)
        if handover.receive is not None:
            handover.receive(path, decoded)
        outline, bits = b"", None
        if with_fingerprint or shrink(full) > 1:
            small = as_image(turned_upright(decoded))
            bits = fingerprint(small) if with_fingerprint else None
            if shrink(full) > 1:
                eighth = (OUTLINE_SIDE, OUTLINE_SIDE)
                outline = small.resize(eighth, Image.Resampling.BOX).tobytes()
        digest = sha256(content).hexdigest()
        return Opened(None, ImageFacts(*full, pixels, bits, digest, state, is_whole, outline))


def digest_in_full(path: Path, room: Room) -> str | None:
    """`ImageFacts.pixels` of the full-size image; None if it can no longer be read."""
    try:
        content = read_image_file(path).content
        with room.for_pixels(stated_pixels(content)):
            return _digest_upright(decode_image(content))
    except (OSError, ImageError):
        return None


def _digest_upright(decoded: Decoded) -> str:
    if decoded.orientation != 1:
        check_memory(size_of(decoded.image), "RGB", "")
    return _pixel_digest(turned_upright(decoded))


def _pixel_digest(decoded: DecodedImage) -> str:
    """Digest of size and pixels, computed in bands of rows to avoid copying a large image."""
    width, height = size = size_of(decoded)
    digest = blake2b(repr(size).encode(), digest_size=16)
    if not isinstance(decoded, Image.Image):
        digest.update(np.ascontiguousarray(decoded).data)
        return digest.hexdigest()
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = decoded.crop((0, top, width, min(top + rows, height)))
        digest.update(band.tobytes())
    return digest.hexdigest()


def _is_utf8(path: os.PathLike[str]) -> bool:
    """Whether the name can be written to a run's files."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True
