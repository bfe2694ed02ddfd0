"""What is known of an image once it has been opened, and whether its file has changed since."""

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
from pplcnet.imaging.decoding import decode, stated_pixels
from pplcnet.system.parallel import Room, in_order
from pplcnet.system.wording import counted, listed

__all__ = ["ImageFacts", "Opened", "OpeningProgress", "open_each", "raise_changed"]

BAND_PIXELS = 4_000_000


class ImageFacts(NamedTuple):
    """Facts about an image that can be read, and about its file."""

    width: int
    """Of the upright image, in pixels."""
    height: int
    pixels: str
    """Digest of the decoded image: equal for the same pixels in another file or format."""
    fingerprint: NDArray[np.uint64] | None = None
    """From `near_duplicates.fingerprint`; None unless it was asked for."""
    content: str = ""
    """sha256 of the file."""
    state: FileState | None = None
    """Of the file when it was read."""


class Opened(NamedTuple):
    """One file that was opened: an error, or else the facts."""

    error: ImageError | None
    facts: ImageFacts = ImageFacts(0, 0, "")


OpeningProgress = Callable[[Iterable[Opened], int], Iterable[Opened]]
"""Wraps the stream of opened images, and gets their number, for a progress bar."""


def open_each(
    paths: Sequence[Path],
    workers: int | None,
    progress: OpeningProgress,
    *,
    fingerprints: bool = False,
) -> list[Opened]:
    """Read and decode each file once; the results are in the order of the paths.

    Args:
        workers: threads that decode; None for one on each core.
        fingerprints: also compute what near-duplicates are found with.
    """
    open_one = partial(_open, room=Room(), with_fingerprint=fingerprints)
    return list(progress(in_order(open_one, paths, workers), len(paths)))


def raise_changed(place: Path, root: Path, facts: Mapping[Path, ImageFacts]) -> None:
    """DatasetError that names the images that are gone, or whose content has changed since.

    Args:
        place: the data set, for the message.
        root: what the images' names are relative to.
    """
    changed = [path for path, each in facts.items() if _is_changed(path, each)]
    if changed:
        names = [os.path.relpath(path, root) for path in changed]
        raise DatasetError(
            f"{place}: {counted(len(changed), 'photo')} changed or disappeared since the run read "
            f"the photos ({listed(names)}). Put back what was there and --resume the run, or "
            "start a new one."
        )


def _is_changed(path: Path, facts: ImageFacts) -> bool:
    """Asks the file system first, which is a thousand times faster than reading the content."""
    try:
        if FileState.of(path.stat()) == facts.state:
            return False
        return sha256(read_image_file(path).content).hexdigest() != facts.content
    except OSError:
        return True


def _open(path: Path, *, room: Room, with_fingerprint: bool) -> Opened:
    if not _is_utf8(path):
        return Opened(ImageError(os.fspath(path), "its name is not UTF-8; rename it."))
    try:
        content, state = read_image_file(path)
    except OSError as error:
        return Opened(ImageError(os.fspath(path), f"cannot be read ({error.strerror})."))
    with room.for_pixels(stated_pixels(content)):
        try:
            image = decode(content)
        except ImageError as error:
            return Opened(ImageError(os.fspath(path), error.reason))
        pixels = _pixel_digest(image)
        bits = fingerprint(image) if with_fingerprint else None
        digest = sha256(content).hexdigest()
        return Opened(None, ImageFacts(*image.size, pixels, bits, digest, state))


def _pixel_digest(image: Image.Image) -> str:
    """Of size and pixels, one band of rows at a time, so that no copy of a large image is made."""
    digest = blake2b(repr(image.size).encode(), digest_size=16)
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        digest.update(band.tobytes())
    return digest.hexdigest()


def _is_utf8(path: os.PathLike[str]) -> bool:
    """Whether a run can write the name to its files."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True
