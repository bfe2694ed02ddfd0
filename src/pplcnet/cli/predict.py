"""Labels for photos: files, folders, or both.

A picture that cannot be read is reported and the rest goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.errors import InputError
from pplcnet.models.catalog import CATALOG

if TYPE_CHECKING:
    from pplcnet.prediction import Prediction

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        help="a bundle folder or .zip, or a network's name for its official ImageNet weights "
        "(NAME or NAME:imagenet-ssld or NAME:timm), downloaded the first time",
    )
    parser.add_argument("images", metavar="IMAGE_OR_FOLDER", nargs="+", help="photos to classify")
    parser.add_argument(
        "--top-k",
        type=int,
        metavar="K",
        help="classes a photo, the most probable; default: 1, or where photos have several labels "
        "all that reach their threshold",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="CSV with a header")
    parser.add_argument("--threads", type=int, metavar="N", help="cores to use; default: all")
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
        "--strict", action="store_true", help="exit with 1 at the end if a photo was broken"
    )


def run(arguments: argparse.Namespace) -> int:
    """Classify and print, one line a photo (or a class, with --csv)."""
    if arguments.top_k is not None and arguments.top_k < 1:
        raise InputError(f"--top-k is {arguments.top_k}; it must be at least 1.")
    from pplcnet.runtime.classifier import Classifier

    given = [Path(each) for each in arguments.images]
    _check_given(given)
    classifier = Classifier(
        _bundle(arguments.bundle, given),
        threads=arguments.threads,
        engine=arguments.engine,
        precision=arguments.precision,
    )
    if classifier.advice:
        print(f"note: {classifier.advice}", file=sys.stderr)
    single = len(given) == 1 and given[0].is_file()
    predictions = (
        iter([classifier.predict(given[0])]) if single else classifier.predict_many(_paths(given))
    )
    broken = _print_all(predictions, arguments)
    if broken:
        print(f"{broken} broken pictures were left out.", file=sys.stderr)
    return 1 if broken and arguments.strict else 0


def _print_all(predictions: Iterable[Prediction], arguments: argparse.Namespace) -> int:
    """Print each answer in the form that was asked for; how many pictures were broken."""
    writer = csv.writer(sys.stdout)
    if arguments.csv:
        writer.writerow(["path", "rank", "label", "probability"])
    broken = 0
    for prediction in predictions:
        if prediction.error is not None:
            broken += 1
            print(f"broken: {prediction.error}", file=sys.stderr)
            if arguments.json:
                record = {"path": prediction.source, "error": prediction.error.reason}
                print(json.dumps(record, ensure_ascii=False))
            continue
        scores = prediction.top(arguments.top_k) if arguments.top_k else prediction.labels
        if arguments.json:
            found = [{"label": s.label, "probability": round(s.probability, 6)} for s in scores]
            answer = {"path": prediction.source, "predictions": found}
            print(json.dumps(answer, ensure_ascii=False))
        elif arguments.csv:
            for rank, score in enumerate(scores, start=1):
                probability = f"{score.probability:.6f}"
                writer.writerow([prediction.source, rank, score.label, probability])
            if not scores:  # a photo without a label is an answer too
                writer.writerow([prediction.source, "", "", ""])
        else:
            found_text = "  ".join(f"{s.label} {s.probability:.3f}" for s in scores)
            print(f"{prediction.source}: {found_text or 'no label'}")
    return broken


def _bundle(text: str, given: list[Path]) -> str | Path:
    """The bundle that is meant: a path, or an official network's, made the first time."""
    if text.partition(":")[0] not in CATALOG or Path(text).exists():
        return text
    from itertools import islice

    from pplcnet.cli.console import quiet_frameworks
    from pplcnet.weights.official import official_bundle

    photos = list(islice(_paths(given), 64))
    return official_bundle(text, photos, before_conversion=quiet_frameworks)


def _check_given(given: list[Path]) -> None:
    from pplcnet.dataset import find_images

    missing = [str(path) for path in given if not path.exists()]
    if missing:
        raise InputError(f"{', '.join(missing)}: no such file or folder.")
    for folder in given:
        if folder.is_dir() and next(iter(find_images(folder)), None) is None:
            raise InputError(f"{folder}: no images in this folder or below.")


def _paths(given: list[Path]) -> Iterator[Path]:
    from pplcnet.dataset import find_images

    for path in given:
        if path.is_dir():
            yield from find_images(path)
        else:
            yield path
