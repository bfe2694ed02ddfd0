"""A look at every photo: whether it can be read, what it shows, whether it has changed since."""

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

from pplcnet.data.image_files import FileState, read_photo
from pplcnet.data.near_duplicates import fingerprint
from pplcnet.errors import DatasetError, ImageError
from pplcnet.imaging.decoding import decode, stated_pixels
from pplcnet.system.parallel import Room, in_order
from pplcnet.system.wording import counted, listed

__all__ = ["Look", "LookProgress", "Sight", "look_at_each", "raise_changed"]


class Sight(NamedTuple):
    """What a readable picture looks like, and the file that it is from."""

    width: int
    """Of the upright picture, in pixels."""
    height: int
    pixels: str
    """Digest of the decoded picture: equal for the same picture under another name or EXIF."""
    fingerprint: NDArray[np.uint64] | None = None
    """As `pplcnet.similarity.fingerprint`; None unless it was asked for."""
    content: str = ""
    """sha256 of the file."""
    state: FileState | None = None
    """Of the file when it was read."""


class Look(NamedTuple):
    """At one file: an error, or a sight."""

    error: ImageError | None
    sight: Sight = Sight(0, 0, "")


BAND_PIXELS = 4_000_000

LookProgress = Callable[[Iterable[Look], int], Iterable[Look]]
"""Wraps the stream of looks, and gets their number, for a progress bar."""


def look_at_each(
    paths: Sequence[Path],
    workers: int | None,
    progress: LookProgress,
    fingerprints: bool = False,
) -> list[Look]:
    """Read and decode each file once; the looks are in the order of the paths.

    Args:
        workers: threads that decode; None for one on each core.
        fingerprints: also compute what near-duplicates are found with.
    """
    look_at = partial(_look, room=Room(), with_fingerprint=fingerprints)
    return list(progress(in_order(look_at, paths, workers), len(paths)))


def raise_changed(root: Path, sights: Mapping[Path, Sight]) -> None:
    """DatasetError that names the photos that are gone, or whose content has changed since."""
    changed = [path for path, sight in sights.items() if _is_changed(path, sight)]
    if changed:
        names = [os.path.relpath(path, root) for path in changed]
        raise DatasetError(
            f"{root}: {counted(len(changed), 'photo')} changed or disappeared since the run read "
            f"the photos ({listed(names)}). Put back what was there and --resume the run, or "
            "start a new one."
        )


def _is_changed(path: Path, sight: Sight) -> bool:
    """What the file system says comes first: it is a thousand times faster than the content."""
    try:
        if FileState.of(path.stat()) == sight.state:
            return False
        return sha256(read_photo(path).content).hexdigest() != sight.content
    except OSError:
        return True


def _look(path: Path, *, room: Room, with_fingerprint: bool) -> Look:
    if not _is_utf8(path):
        return Look(ImageError(os.fspath(path), "its name is not UTF-8; rename it."))
    try:
        content, state = read_photo(path)
    except OSError as error:
        return Look(ImageError(os.fspath(path), f"cannot be read ({error.strerror})."))
    with room.for_pixels(stated_pixels(content)):
        try:
            image = decode(content)
        except ImageError as error:
            return Look(ImageError(os.fspath(path), error.reason))
        pixels = _pixel_digest(image)
        marks = fingerprint(image) if with_fingerprint else None
        digest = sha256(content).hexdigest()
        return Look(None, Sight(*image.size, pixels, marks, digest, state))


def _pixel_digest(image: Image.Image) -> str:
    """Of size and pixels, a band of rows at a time: large pictures are not copied as a whole."""
    digest = blake2b(repr(image.size).encode(), digest_size=16)
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        digest.update(band.tobytes())
    return digest.hexdigest()


def _is_utf8(path: os.PathLike[str]) -> bool:
    """Whether the lists that a run writes can name the file."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True
