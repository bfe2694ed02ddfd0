"""Options of detectors: how a photo is looked at, which objects are shown, photos as files."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.cli.arguments import number, size
from pplcnet.errors import InputError, StorageError

if TYPE_CHECKING:
    from pplcnet.tasks.task import Prediction

__all__ = ["add_drawing", "check_drawing", "with_drawing"]

QUALITY = 90


def add_drawing(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "--confidence",
        type=number(0, 1),
        metavar="C",
        help="of a detector: show the objects of at least this confidence; default: what was "
        "chosen on validation photos, else 0.4",
    )
    parser.add_argument(
        "--tiles",
        type=size,
        metavar="SIZE",
        help="of a detector: for small objects in large photos, look at overlapping parts of this "
        "size too; pixels of the photo, 640 or 480x640 (height x width)",
    )
    parser.add_argument(
        "--tile-overlap",
        type=number(0, 0.9),
        metavar="PART",
        help="part of a tile's sides that its neighbour has too; objects up to that size are seen "
        "whole; default: 0.25",
    )
    parser.add_argument(
        "--draw",
        metavar="FOLDER",
        help="of a detector: write every photo with its boxes to this folder, as JPEG",
    )


def check_drawing(kind: type[Prediction], arguments: argparse.Namespace) -> None:
    """InputError for an option of detectors with a bundle whose answers are no places."""
    for option in ("draw", "confidence", "tiles", "tile_overlap"):
        can = kind.can_be_tiled if option.startswith("tile") else kind.can_be_drawn
        if getattr(arguments, option) is not None and not can:
            raise InputError(
                f"--{option.replace('_', '-')} is for detectors, which say where objects are; "
                f"{arguments.bundle} is not one. Leave it out."
            )
    if arguments.tile_overlap is not None and arguments.tiles is None:
        raise InputError("--tile-overlap is of --tiles, which says how large tiles are; give both.")


def with_drawing(
    predictions: Iterable[Any], arguments: argparse.Namespace, photo: bytes | None
) -> Iterable[Prediction]:
    """The predictions with what the options ask for, each drawn before it is passed on.

    Args:
        photo: the content of the only photo, where it is no file.

    Raises:
        StorageError: a file cannot be written.
    """
    confidence = arguments.confidence
    if confidence is not None:
        predictions = (
            each if each.error is not None else each.above(confidence) for each in predictions
        )
    if arguments.draw is None:
        return predictions
    return _drawn(predictions, Path(arguments.draw), photo)


def _drawn(
    predictions: Iterable[Prediction], folder: Path, photo: bytes | None
) -> Iterator[Prediction]:
    """A JPEG of the photo's name each; photos of one name get numbers."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made ({error.strerror}).") from error
    names: Counter[str] = Counter()
    for prediction in predictions:
        if prediction.error is None:
            stem = Path(prediction.source).stem
            names[stem] += 1
            ending = f"-{names[stem]}.jpg" if names[stem] > 1 else ".jpg"
            path = folder / f"{stem}{ending}"
            try:
                prediction.draw(photo).save(path, quality=QUALITY)
            except OSError as error:
                raise StorageError(f"{path}: cannot be written ({error.strerror}).") from error
        yield prediction
