"""A detector's output in COCO's results format: a JSON list that pycocotools' loadRes reads."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.cli.output import complain, show_json_list
from pplcnet.errors import InputError
from pplcnet.system.wording import counted

if TYPE_CHECKING:
    from pplcnet.data.coco_names import CocoNames
    from pplcnet.tasks.task import Prediction

__all__ = ["add_coco", "check_coco", "coco_names", "print_coco"]

SHOWN = 3


def add_coco(parser: argparse.ArgumentParser, form: Any) -> None:
    """Add --coco, which excludes the other output formats, and --coco-ids."""
    form.add_argument(
        "--coco",
        action="store_true",
        help="detectors: print all boxes as one JSON list in COCO's results format (image_id, "
        "category_id, bbox, score); --confidence and --top-k limit them",
    )
    parser.add_argument(
        "--coco-ids",
        metavar="FILE.json",
        help="annotations in COCO's format, from which --coco takes the ids of photos (by file "
        "name) and classes (by name); without it, image_id is the file's name and category_id "
        "counts from 1",
    )


def check_coco(kind: type[Prediction], arguments: argparse.Namespace) -> None:
    """Raise InputError for a bundle that finds no boxes, or for ids without --coco."""
    if arguments.coco_ids is not None and not arguments.coco:
        raise InputError("--coco-ids needs --coco; give both.")
    if arguments.coco and not hasattr(kind, "xyxy"):
        raise InputError(
            f"--coco is for detectors, which answer with boxes; {arguments.bundle} is not a "
            "detector. Leave out --coco."
        )


def coco_names(classes: Sequence[str], arguments: argparse.Namespace) -> CocoNames:
    """The ids to print; DatasetError if the annotation file does not have them."""
    from pplcnet.data.coco_names import plain_names, read_coco_names

    if arguments.coco_ids is None:
        return plain_names(classes)
    return read_coco_names(Path(arguments.coco_ids), classes)


def print_coco(
    predictions: Iterable[Any], names: CocoNames, most: int | None = None
) -> tuple[int, int]:
    """Print the list, one box per line; returns the number of photos and of unreadable ones.

    Args:
        most: number of most confident boxes per photo; None for all.
    """
    photos = unread = 0
    unlisted: list[str] = []

    def boxes() -> Iterator[dict[str, Any]]:
        nonlocal photos, unread
        for prediction in predictions:
            photos += 1
            if prediction.error is not None:
                unread += 1
                complain(f"{prediction.source}: error: {prediction.error.reason}")
                continue
            image = names.image_id(prediction.source)
            if image is None:
                unlisted.append(prediction.source)
                continue
            yield from _records(prediction, image, names, most)

    show_json_list(boxes())
    if unlisted:
        more = f" and {len(unlisted) - SHOWN} more" if len(unlisted) > SHOWN else ""
        complain(
            f"note: {counted(len(unlisted), 'photo')} not in the file of --coco-ids, left out: "
            f"{', '.join(unlisted[:SHOWN])}{more}"
        )
    return photos, unread


def _records(
    prediction: Any, image: int | str, names: CocoNames, most: int | None
) -> Iterable[dict[str, Any]]:
    rows = zip(
        prediction.xyxy.tolist(),
        prediction.class_id.tolist(),
        prediction.confidence.tolist(),
        strict=True,
    )
    for at, ((x1, y1, x2, y2), label, confidence) in enumerate(rows):
        if at == most:
            return
        yield {
            "image_id": image,
            "category_id": names.categories[label],
            "bbox": [round(each, 2) for each in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(confidence, 6),
        }
