"""Run a bundle on photos: files, folders, or one photo from stdin.

A photo that cannot be read gets a record with the error instead of an answer, in every format; the
other photos are still predicted. Exit code 0: at least one photo has an answer (with --strict: all
have); 1: none has (with --strict: not all have); 2: wrong arguments, or a damaged bundle.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.cli.arguments import BUNDLE_HELP, PHOTO_ENDINGS, add_engine, add_threads, whole
from pplcnet.cli.coco_output import add_coco, check_coco, coco_names, print_coco
from pplcnet.cli.console import Console, without_chatter
from pplcnet.cli.drawing import add_drawing, check_drawing, with_drawing
from pplcnet.cli.given_photos import STDIN, add_inputs, check_given, inputs_of, paths_of
from pplcnet.cli.looks import looking
from pplcnet.cli.official import COMPARED, bundle_of
from pplcnet.cli.output import complain, csv_output, show, show_json
from pplcnet.errors import ImageError, InputError
from pplcnet.system.wording import counted

if TYPE_CHECKING:
    from pplcnet.data.image_files import PassedOver
    from pplcnet.runtime.model import Model
    from pplcnet.tasks.task import Prediction, Task

__all__ = ["add_arguments", "run"]

STDIN_LIMIT = 1 << 28
"""Bytes; larger than any photo that is decoded."""
TYPICALITY = "typicality"
"""A CSV column, if the bundle measures typicality."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        help=f"{BUNDLE_HELP}, or an exported .onnx file, or a network's name for its official "
        "weights (pplcnet_x1_0, pplcnet_x1_0:imagenet-ssld, picodet_xs_320; downloaded the first "
        "time)",
    )
    add_inputs(parser, "photos, or folders of photos; - reads one photo from stdin")
    parser.add_argument(
        "--top-k",
        type=whole(1, 1_000_000),
        metavar="K",
        help="show the K most probable answers for each photo; default: 1, or for a multi-label "
        "bundle every label that reaches its threshold",
    )
    add_drawing(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object per line")
    form.add_argument("--csv", action="store_true", help="print CSV with a header")
    add_coco(parser, form)
    add_threads(parser)
    add_engine(parser)
    parser.add_argument(
        "--strict", action="store_true", help="exit with code 1 if any photo could not be read"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict and print, one line per photo (per answer with --csv)."""
    given = inputs_of(arguments)
    if arguments.bundle.lower().endswith(PHOTO_ENDINGS) and Path(arguments.bundle).is_file():
        raise InputError(
            f"{arguments.bundle}: is a photo, not a bundle; the bundle comes first, as in "
            "'pplcnet predict BUNDLE PHOTO'."
        )
    check_given(given)
    from pplcnet.data.image_files import PassedOver
    from pplcnet.runtime.model import load
    from pplcnet.tasks import find

    stdin = _read_stdin() if STDIN in given else None
    passed_over = PassedOver()
    bundle = bundle_of(arguments.bundle, lambda folder: _compared(given, stdin, folder))
    model = load(
        bundle,
        threads=arguments.threads,
        engine=arguments.engine,
        precision=arguments.precision,
        trust_network=arguments.trust_network,
    )
    check_drawing(find(model.manifest.task).prediction, arguments)
    check_coco(find(model.manifest.task).prediction, arguments)
    names = coco_names(model.classes, arguments) if arguments.coco else None
    # Only LiteRT writes notes; whatever another engine writes in a crash must reach stderr at once.
    opening = without_chatter if model.choice.engine == "litert" else Console().busy
    # Predicting a large photo in windows takes longer than that.
    opened = "opening the network" if arguments.window is None else "predicting the first photo"
    with opening(opened):
        predictions = iter(_predictions(model, given, stdin, passed_over, arguments))
        first = list(islice(predictions, 1))  # which compiles the network
    if model.advice:
        complain(f"note: {model.advice}")
    of_task = find(model.manifest.task).prediction.columns
    of_photo = (TYPICALITY,) if model.knows_typical else ()
    columns = ("path", "rank", *of_task, *of_photo, "error")
    shown = with_drawing(chain(first, predictions), arguments, stdin)
    if names is not None:
        photos, unread = print_coco(shown, names, arguments.top_k)
    else:
        photos, unread = _print_all(shown, columns, arguments)
    if unread:
        complain(f"{unread} of {counted(photos, 'photo')} could not be read.")
    for note in passed_over.notes():
        complain(f"note: {note}")
    passed_over.raise_unreadable(", ".join(given))
    return int(unread > 0 and (arguments.strict or unread == photos))


def _predictions(
    model: Model[Any],
    given: list[str],
    stdin: bytes | None,
    passed_over: PassedOver,
    arguments: argparse.Namespace,
) -> Iterable[Prediction]:
    looks = looking(model, arguments)
    predict, predict_many = looks.predict, looks.predict_many
    if stdin is not None:
        return [_predict_one(model, predict, stdin, "stdin")]
    if len(given) == 1 and not Path(given[0]).is_dir():
        return [_predict_one(model, predict, Path(given[0]), given[0])]
    return predict_many(paths_of(given, passed_over))


def _predict_one(
    model: Model[Any],
    predict: Callable[[Any], Prediction],
    photo: Path | bytes,
    name: str,
) -> Prediction:
    """Predict one photo on all cores, which is faster than `predict_many` for a single one."""
    from dataclasses import replace

    try:
        return replace(predict(photo), source=name)
    except ImageError as error:
        from pplcnet.tasks import find

        task: Task[Prediction] = find(model.manifest.task)
        return task.prediction(name, ImageError(name, error.reason))


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "- reads one photo from stdin, which is "
            f"{'closed' if sys.stdin is None else 'a terminal'}; "
            "pipe one in, as in 'pplcnet predict BUNDLE - < photo.jpg'."
        )
    content = sys.stdin.buffer.read(STDIN_LIMIT + 1)
    if len(content) > STDIN_LIMIT:
        raise InputError(f"stdin has more than {STDIN_LIMIT >> 20} MiB; - reads only one photo.")
    if not content:
        raise InputError("stdin is empty; - reads one photo from it.")
    return content


def _print_all(
    predictions: Iterable[Prediction], columns: Sequence[str], arguments: argparse.Namespace
) -> tuple[int, int]:
    """Print each answer in the chosen format; returns the counts of all and unreadable photos."""
    rows = csv_output(columns) if arguments.csv else None
    photos = unread = 0
    for prediction in predictions:
        photos += 1
        path = Path(prediction.source)
        if prediction.error is not None:
            unread += 1
            reason = prediction.error.reason
            if rows is not None:
                rows.writerow([path, *[""] * (len(columns) - 2), reason])
            elif arguments.json:
                show_json({"path": prediction.source, "error": reason})
            else:
                show(f"{prediction.source}: error: {reason}")
            continue
        if rows is not None:
            found = prediction.rows(arguments.top_k)
            end = [*([_cell(prediction.typicality)] if TYPICALITY in columns else ()), ""]
            for rank, row in enumerate(found, start=1):
                rows.writerow([path, rank, *map(_cell, row.values()), *end])
            if not found:  # an image without labels is an answer too
                rows.writerow([path, *[""] * (len(columns) - 1 - len(end)), *end])
        elif arguments.json:
            found = prediction.rows(arguments.top_k)
            show_json({"path": prediction.source, "predictions": found, **prediction.facts()})
        else:
            strange = "  (unlike anything trained on)" if prediction.is_strange else ""
            show(f"{prediction.source}: {prediction.to_text(arguments.top_k)}{strange}")
    return photos, unread


def _cell(value: object) -> object:
    return f"{value:.6f}" if isinstance(value, float) else value


def _compared(given: Sequence[str], stdin: bytes | None, folder: Path) -> list[Path]:
    """Photos on which official weights are compared with Keras."""
    from pplcnet.data.image_files import PassedOver

    if stdin is None:
        return list(islice(paths_of(given, PassedOver()), COMPARED))
    (folder / "stdin").write_bytes(stdin)
    return [folder / "stdin"]
