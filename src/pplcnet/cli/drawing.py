"""Options for how to look at a photo, what to show of the answer, and which files to write."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.cli.arguments import number
from pplcnet.cli.given_photos import STDIN, inputs_of
from pplcnet.cli.looks import DETECTORS, SEGMENTERS, add_looks, check_looks, refuse
from pplcnet.errors import InputError, StorageError

if TYPE_CHECKING:
    from pplcnet.tasks.task import Prediction

__all__ = ["add_drawing", "check_drawing", "with_drawing"]

QUALITY = 90


def add_drawing(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--confidence",
        type=number(0, 1),
        metavar="C",
        help="detectors: show objects with at least this confidence; default: the threshold chosen "
        "on the validation photos, else 0.4",
    )
    add_looks(parser)
    parser.add_argument(
        "--draw",
        metavar="FOLDER",
        help="write every photo to this folder as JPEG, with a detector's boxes, or overlaid with "
        "the colours of a segmenter's classes",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="segmenters: write every photo's class map to this folder, as a palette PNG whose "
        "values are the class indices from 0",
    )


def check_drawing(kind: type[Prediction], arguments: argparse.Namespace) -> None:
    """Raise InputError for an option that does not apply to the bundle's answers."""
    allowed = {
        "draw": (kind.can_be_drawn, "detectors and segmenters, whose answers can be drawn"),
        "confidence": (hasattr(kind, "above"), DETECTORS),
        "out": (bool(kind.file_ending), SEGMENTERS),
    }
    for option, (is_allowed, whose) in allowed.items():
        if getattr(arguments, option) is not None and not is_allowed:
            refuse(option, whose, arguments)
    check_looks(kind, arguments)
    for option in ("draw", "out"):
        if (folder := getattr(arguments, option)) is not None:
            _check_apart(option, Path(folder).resolve(), inputs_of(arguments))


def _check_apart(option: str, folder: Path, given: Sequence[str]) -> None:
    """Raise InputError if files would be written among the photos and might replace them."""
    for each in given:
        place = Path(each).resolve()
        if each != STDIN and place.is_dir() and (folder == place or place in folder.parents):
            raise InputError(
                f"--{option} {folder}: is inside {each}, the folder of the photos; choose another "
                "folder."
            )


def with_drawing(
    predictions: Iterable[Any], arguments: argparse.Namespace, photo: bytes | None
) -> Iterable[Prediction]:
    """Yield the predictions after writing the files that the options ask for.

    Args:
        photo: the content of the only photo, if it is not a file.

    Raises:
        StorageError: a file cannot be written.
    """
    confidence = arguments.confidence
    if confidence is not None:
        predictions = (
            each if each.error is not None else each.above(confidence) for each in predictions
        )
    if arguments.draw is not None:
        predictions = _written(
            predictions,
            Path(arguments.draw),
            lambda _: ".jpg",
            lambda each, path: each.draw(photo).save(path, quality=QUALITY),
        )
    if arguments.out is not None:
        predictions = _written(
            predictions,
            Path(arguments.out),
            lambda each: each.file_ending,
            lambda each, path: each.write(path),
        )
    return predictions


def _written(
    predictions: Iterable[Prediction],
    folder: Path,
    ending: Callable[[Prediction], str],
    write: Callable[[Any, Path], object],
) -> Iterator[Prediction]:
    """Write one file per prediction, named after the photo; equal names get numbers."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(f"{folder}: is a file, or inside one; give a folder.") from error
    except OSError as error:
        raise StorageError(f"{folder}: cannot be created ({error.strerror}).") from error
    numbers: Counter[str] = Counter()
    taken: set[str] = set()
    for prediction in predictions:
        if prediction.error is None:
            stem = name = Path(prediction.source).stem
            while name in taken or not numbers[stem]:
                numbers[stem] += 1
                name = f"{stem}-{numbers[stem]}" if numbers[stem] > 1 else stem
            taken.add(name)
            path = folder / f"{name}{ending(prediction)}"
            source = Path(prediction.source)
            if source.is_file() and path.exists() and path.samefile(source):
                raise InputError(f"{path}: is the photo itself; choose another folder.")
            try:
                write(prediction, path)
            except OSError as error:
                raise StorageError(f"{path}: cannot be written ({error.strerror}).") from error
        yield prediction
