"""Which objects of a detector are shown, and photos with them as files."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.cli.arguments import number
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
        "--draw",
        metavar="FOLDER",
        help="of a detector: write every photo with its boxes to this folder, as JPEG",
    )


def check_drawing(kind: type[Prediction], arguments: argparse.Namespace) -> None:
    """InputError for an option of detectors with a bundle whose answers are no places."""
    for option in ("draw", "confidence"):
        if getattr(arguments, option) is not None and not kind.can_be_drawn:
            raise InputError(
                f"--{option} is for detectors, which say where objects are; {arguments.bundle} is "
                "not one. Leave it out."
            )


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
