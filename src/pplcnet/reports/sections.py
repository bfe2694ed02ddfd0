"""Report sections made from a run's files: data, training curves, suspects."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError
from pplcnet.pages import charts
from pplcnet.pages.pictures import thumbnails
from pplcnet.pages.section import Section
from pplcnet.reports.report_data import Subject, read_table
from pplcnet.tasks.task import Measure
from pplcnet.weights.starts import Start

__all__ = [
    "check_suspects",
    "curve_charts",
    "made_section",
    "suspects_sections",
    "training_sections",
]

EXAMPLES = 4
EXAMPLE_CLASSES = 40
SUSPECTS = 30
LARGEST_DRAWN = 1e30
"""Larger numbers would overflow in the arithmetic of axes, and no loss is that large."""
HISTORY_FILE, SUSPECT_FILE = "history.csv", "suspects.csv"


def made_section(subject: Subject, noun: str) -> Section:
    """The network and what it was trained on; `noun` is the word for a class."""
    values = {"facts": _facts(subject), "data": _data(subject), "noun": noun}
    return Section("made", "Network", "made.html", values)


def _facts(subject: Subject) -> dict[str, list[tuple[str, str]]]:
    """Groups of (name, value) pairs, by heading."""
    manifest = subject.bundle.manifest
    provenance = manifest.provenance
    data, versions = provenance.get("dataset") or {}, provenance.get("versions") or {}
    recipe = provenance.get("recipe") or {}
    size = "×".join(map(str, manifest.preprocessing.image_size))
    network = [
        ("network", str(manifest.network.get("name", "unknown"))),
        ("input", f"{size} pixels"),
        ("bundle", str(subject.bundle.path)),
        ("made", str(provenance.get("created", "unknown"))),
        ("photos", str(data.get("photos", "unknown"))),
        ("data digest", str(data.get("digest", "unknown"))),
    ]
    start = Start.of_provenance(provenance)
    if start is not None:
        network.append(("started from", start.describe()))
    return {
        "network": network,
        "versions": [(str(name), str(value)) for name, value in versions.items()],
        "recipe": [(str(name), _plain(value)) for name, value in recipe.items()],
    }


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None or value == "" else str(value)


def _data(subject: Subject) -> dict[str, Any]:
    """Images by class and split, and examples of training images."""
    classes = subject.bundle.classes
    splits = {
        name: dataset
        for name, dataset in (
            ("train", subject.train),
            ("validation", subject.validation),
            (subject.split, subject.reported),
        )
        if len(dataset)
    }
    counts = [dict(zip(each.classes, each.class_counts(), strict=True)) for each in splits.values()]
    known = [_known(each) for each in splits.values()]
    # If every image shows one class, the number of known images tells nothing.
    is_known_shown = any(
        len(image.shown) != 1 or image.unknown
        for dataset in splits.values()
        for image in (each.annotation for each in dataset.images)
    )
    of_class: dict[str, list[Path]] = {name: [] for name in classes[:EXAMPLE_CLASSES]}
    pool = subject.train if len(subject.train) else subject.reported
    for image in pool.images:
        for at in image.shown:
            of_class.get(pool.classes[at], []).append(image.path)
    chosen = {name: _spread(paths, EXAMPLES) for name, paths in of_class.items()}
    pictures = thumbnails((path for paths in chosen.values() for path in paths), side=88)
    return {
        "splits": list(splits),
        "counts": [(name, [each.get(name, 0) for each in counts]) for name in classes],
        "known": {name: [each.get(name, 0) for each in known] for name in classes}
        if is_known_shown
        else {},
        "examples": [
            (name, [pictures[path] for path in paths if path in pictures])
            for name, paths in chosen.items()
        ],
        "examples_of": "training" if len(subject.train) else "reported",
        "classes_without_examples": max(0, len(classes) - EXAMPLE_CLASSES),
        "is_folded": len(classes) > EXAMPLE_CLASSES,
        "source": subject.source,
        "gone": subject.gone,
    }


def _known(dataset: Dataset) -> dict[str, int]:
    """For each class, the number of images for which it is known whether they show it."""
    unknown = Counter(at for image in dataset.images for at in image.annotation.unknown)
    return {name: len(dataset) - unknown[at] for at, name in enumerate(dataset.classes)}


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the paths, evenly spaced."""
    kept = min(count, len(paths))
    return [paths[at * len(paths) // kept] for at in range(kept)]


def training_sections(folder: Path, measure: Measure) -> list[Section]:
    """Loss and measure by epoch; empty if the folder has no history.csv."""
    drawn = curve_charts(folder, measure)
    return [Section("training", "Training", "training.html", {"curves": drawn})] if drawn else []


def curve_charts(folder: Path, measure: Measure) -> list[Any]:
    """Charts of loss and the task's measure by epoch, as far as history.csv has them.

    The measure has a line for the training images only if training counts it.
    """
    rows = list(read_table(folder / HISTORY_FILE))
    epochs = [_float(row.get("epoch")) for row in rows]
    made = []
    for title, columns in (
        ("Loss", {"training": "loss", "validation": "validation_loss"}),
        (measure.title, _measure_columns(rows, measure)),
    ):
        lines = {name: [_float(row.get(key)) for row in rows] for name, key in columns.items()}
        if not np.isfinite(list(lines.values())).any() or not np.isfinite(epochs).all():
            continue
        last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in lines.items())
        made.append(charts.curves(title, epochs, lines, f"{title} by epoch; at the end {last}"))
    return made


def _measure_columns(rows: Sequence[dict[str, str]], measure: Measure) -> dict[str, str]:
    """The names of a history's columns of the measure, by the images that they are for."""
    if not any("validation_accuracy" in row for row in rows):
        columns = {"training": measure.key, "validation": f"validation_{measure.key}"}
        return {name: key for name, key in columns.items() if any(key in row for row in rows)}
    # Version 0.1 called every measure accuracy. Its training column was the share of right images,
    # or of right labels, which is not mAP.
    training = {"training": "accuracy"} if measure.is_share else {}
    return {**training, "validation": "validation_accuracy"}


def _float(text: str | None) -> float:
    """A number that can be drawn; NaN for any other text."""
    try:
        value = float(text or "nan")
    except ValueError:
        return float("nan")
    return value if abs(value) < LARGEST_DRAWN else float("nan")


def check_suspects(path: Path) -> None:
    """Raise InputError if the file is not a list of suspects."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            columns = {name.strip().lower() for name in next(csv.reader(file), [])}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; --suspects takes suspects.csv.") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    missing = [name for name in ("path", "label", "suggested") if name not in columns]
    if missing:
        raise InputError(
            f"{path}: has no column {' and no column '.join(missing)}; --suspects takes the "
            "suspects.csv that 'pplcnet suspects' writes."
        )


def suspects_sections(subject: Subject, path: Path | None = None) -> list[Section]:
    """Images whose label may be wrong, as listed in `path` or in suspects.csv beside the bundle."""
    listed = read_table(path or subject.folder / SUSPECT_FILE)
    rows = [row for row in listed if row.get("path")]
    places = [_find(row["path"], subject) for row in rows[:SUSPECTS]]
    pictures = thumbnails(path for path in places if path is not None)
    suspects = [
        {
            "name": row["path"] if path is None else _short(path, subject.reported.root),
            "label": row.get("label", ""),
            "suggested": row.get("suggested", ""),
            "confidence": row.get("confidence") or row.get("confidence_in_suggested", ""),
            "picture": None if path is None else pictures.get(path),
        }
        for row, path in zip(rows, places, strict=False)
    ]
    if not suspects:
        return []
    values = {"suspects": suspects, "total": len(rows)}
    return [Section("suspects", "Label errors", "suspects.html", values)]


def _short(path: Path, root: Path) -> str:
    resolved, root = path.resolve(), root.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else path.name


def _find(name: str, subject: Subject) -> Path | None:
    for folder in (subject.reported.root, subject.folder):
        if (folder / name).is_file():
            return folder / name
    return None
