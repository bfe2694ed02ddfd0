"""Run a bundle on photos: files, folders, or one photo from stdin.

A photo that cannot be read gets a record with the error instead of an answer, in every format, and
the other photos still get their answers. Exit code 0: at least one photo has an answer (with
--strict: all have); 1: none has one (with --strict: not all have); 2: wrong arguments, or a damaged
bundle.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.cli.arguments import BUNDLE_HELP, MOST_THREADS, PHOTO_ENDINGS, whole
from pplcnet.cli.console import Console, quiet_frameworks, without_chatter
from pplcnet.cli.output import complain, csv_output, show, show_json
from pplcnet.errors import ImageError, InputError
from pplcnet.models.catalog import CATALOG
from pplcnet.system.wording import counted

if TYPE_CHECKING:
    from pplcnet.data.image_files import PassedOver
    from pplcnet.runtime.model import Model
    from pplcnet.tasks.task import Prediction, Task

__all__ = ["add_arguments", "run"]

COMPARED = 64
"""Photos on which a network with official weights is compared with Keras, the first time."""
STDIN = "-"
STDIN_LIMIT = 1 << 28
"""Bytes; more than any photo that is decoded."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        help=f"{BUNDLE_HELP}, or an exported .onnx file, or a network's name for its official "
        "ImageNet weights (NAME, NAME:imagenet-ssld or NAME:timm; downloaded the first time)",
    )
    parser.add_argument(
        "inputs",
        metavar="IMAGE_OR_FOLDER",
        nargs="*",
        help="photos, or folders of photos; - reads one photo from stdin",
    )
    parser.add_argument(
        "--photos",
        dest="more_inputs",
        metavar="IMAGE_OR_FOLDER",
        nargs="+",
        action="extend",
        default=[],
        help="IMAGE_OR_FOLDER, given as an option",
    )
    parser.add_argument(
        "--top-k",
        type=whole(1, 1_000_000),
        metavar="K",
        help="show the K most probable answers for each photo; default: 1, or for a multi-label "
        "bundle every label that reaches its threshold",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object per line")
    form.add_argument("--csv", action="store_true", help="print CSV with a header")
    parser.add_argument(
        "--threads",
        type=whole(1, MOST_THREADS),
        metavar="N",
        help="number of cores to use; default: all",
    )
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="onnxruntime, openvino or litert; default: what 'tune' chose, else onnxruntime",
    )
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="float32, bfloat16, int8 or int8-bfloat16; default: what 'tune' chose, else float32",
    )
    parser.add_argument(
        "--trust-network",
        action="store_true",
        help="also run a network that pplcnet did not export; a malicious one can crash the "
        "engine, read other files or never finish",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with code 1 if any photo could not be read"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict and print, a line per photo (per answer with --csv)."""
    given = [*arguments.inputs, *arguments.more_inputs]
    if arguments.bundle.lower().endswith(PHOTO_ENDINGS) and Path(arguments.bundle).is_file():
        raise InputError(
            f"{arguments.bundle}: is a photo, not a bundle; the bundle comes first, as in "
            "'pplcnet predict BUNDLE PHOTO'."
        )
    _check_given(given)
    from pplcnet.data.image_files import PassedOver
    from pplcnet.runtime.model import load
    from pplcnet.tasks import find

    stdin = _read_stdin() if STDIN in given else None
    passed_over = PassedOver()
    bundle = _bundle(arguments.bundle, given, stdin)
    model = load(
        bundle,
        threads=arguments.threads,
        engine=arguments.engine,
        precision=arguments.precision,
        trust_network=arguments.trust_network,
    )
    # Only LiteRT writes notes; what another engine writes about a crash must reach stderr at once.
    opening = without_chatter if model.choice.engine == "litert" else Console().busy
    with opening("opening the network"):
        predictions = iter(_predictions(model, given, stdin, passed_over))
        first = list(islice(predictions, 1))  # which compiles the network
    if model.advice:
        complain(f"note: {model.advice}")
    columns = ("path", "rank", *find(model.manifest.task).prediction.columns, "error")
    photos, unread = _print_all(chain(first, predictions), columns, arguments)
    if unread:
        complain(f"{unread} of {counted(photos, 'photo')} could not be read.")
    for note in passed_over.notes():
        complain(f"note: {note}")
    passed_over.raise_unreadable(", ".join(given))
    return int(unread > 0 and (arguments.strict or unread == photos))


def _predictions(
    model: Model[Prediction], given: list[str], stdin: bytes | None, passed_over: PassedOver
) -> Iterable[Prediction]:
    if stdin is not None:
        return [_predict_one(model, stdin, "stdin")]
    if len(given) == 1 and not Path(given[0]).is_dir():
        return [_predict_one(model, Path(given[0]), given[0])]
    return model.predict_many(_paths(given, passed_over))


def _predict_one(model: Model[Prediction], photo: Path | bytes, name: str) -> Prediction:
    """On all cores, which is faster than `predict_many` for a single photo."""
    from dataclasses import replace

    try:
        return replace(model.predict(photo), source=name)
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
        raise InputError(f"stdin holds more than {STDIN_LIMIT >> 20} MiB; - reads one photo.")
    if not content:
        raise InputError("stdin is empty; - reads one photo from it.")
    return content


def _print_all(
    predictions: Iterable[Prediction], columns: Sequence[str], arguments: argparse.Namespace
) -> tuple[int, int]:
    """Print each answer in the chosen format; returns the number of photos and of unread ones."""
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
            for rank, row in enumerate(found, start=1):
                rows.writerow([path, rank, *map(_cell, row.values()), ""])
            if not found:  # an image without a label is an answer too
                rows.writerow([path, *[""] * (len(columns) - 1)])
        elif arguments.json:
            found = prediction.rows(arguments.top_k)
            show_json({"path": prediction.source, "predictions": found})
        else:
            show(f"{prediction.source}: {prediction.to_text(arguments.top_k)}")
    return photos, unread


def _cell(value: object) -> object:
    return f"{value:.6f}" if isinstance(value, float) else value


def _bundle(text: str, given: Sequence[str], stdin: bytes | None) -> str | Path:
    """The bundle: a path, or that of an official network, which is made the first time."""
    if text.partition(":")[0] not in CATALOG or Path(text).exists():
        return text
    import tempfile

    from pplcnet.data.image_files import PassedOver
    from pplcnet.weights.official import official_bundle

    with tempfile.TemporaryDirectory() as folder:
        photos = list(islice(_paths(given, PassedOver()), COMPARED))
        if stdin is not None:
            photos = [Path(folder, "stdin")]
            photos[0].write_bytes(stdin)
        return official_bundle(text, photos, before_conversion=quiet_frameworks)


def _check_given(given: list[str]) -> None:
    from pplcnet.data.image_files import PassedOver, find_images

    if not given:
        raise InputError("no photos given; give files or folders, or - for one photo from stdin.")
    if STDIN in given and len(given) > 1:
        raise InputError("- reads one photo from stdin and cannot be mixed with other photos.")
    missing = [each for each in given if each != STDIN and not (each and Path(each).exists())]
    for each in missing:
        if re.match(r"[a-z][a-z0-9+.-]+://", each, re.IGNORECASE):
            raise InputError(
                f"{each}: URLs are not fetched; download the photo first, or pipe it in: "
                "curl -L URL | pplcnet predict BUNDLE -"
            )
    if missing:
        names = ", ".join(each or "''" for each in missing)
        raise InputError(f"{names}: no such file or folder.")
    for each in given:
        passed_over = PassedOver()
        if Path(each).is_dir() and next(find_images(each, passed_over), None) is None:
            passed_over.raise_unreadable(each)
            raise InputError(f"{each}: no images in this folder or below.", passed_over.notes())


def _paths(given: Sequence[str], passed_over: PassedOver) -> Iterator[Path]:
    """The photos in all files and folders; files that are ignored are counted in `passed_over`."""
    from pplcnet.data.image_files import find_images

    for each in given:
        if Path(each).is_dir():
            yield from find_images(each, passed_over)
        else:
            yield Path(each)
