"""What the sections of a report show, as plain values for its template."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from pplcnet.data.annotations import UNKNOWN, Marks
from pplcnet.data.dataset import MULTI, Dataset
from pplcnet.errors import InputError
from pplcnet.metrics.calibration import (
    expected_calibration_error,
    least_calibration_error,
    reliability,
)
from pplcnet.metrics.thresholds import kept_precision, measured, threshold_for
from pplcnet.pages import charts
from pplcnet.pages.pictures import thumbnails
from pplcnet.pages.scored import Answers, Scored
from pplcnet.reports.report_data import Subject, read_table
from pplcnet.tasks.classification.evaluation import ClassEvaluation

__all__ = [
    "LABEL_AXES",
    "calibration_context",
    "check_suspects",
    "class_rows",
    "curve_charts",
    "data_context",
    "facts",
    "suspect_rows",
    "threshold_context",
]

EXAMPLES = 4
EXAMPLE_CLASSES = 40
SUSPECTS = 30
PHOTO_AXES = "probability of the answer", "fraction correct"
LABEL_AXES = "probability of the label", "fraction shown"
LARGEST_DRAWN = 1e30
"""More overflows in the arithmetic of axes, and no loss is that large."""
HISTORY_FILE, SUSPECT_FILE = "history.csv", "suspects.csv"


def facts(subject: Subject) -> dict[str, list[tuple[str, str]]]:
    """The network and what it was trained on, in groups of name and value."""
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
    weights = (provenance.get("weights") or {}).get("weights")
    if weights:
        network.append(("started from", str(weights)))
    return {
        "network": network,
        "versions": [(str(name), str(value)) for name, value in versions.items()],
        "recipe": [(str(name), _plain(value)) for name, value in recipe.items()],
    }


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None or value == "" else str(value)


def data_context(subject: Subject) -> dict[str, Any]:
    """Photos by class and part, and some of those that were trained on.

    For multi-label data `known` has, beside `counts`, how many photos are known to show a
    label or not.
    """
    classes = subject.bundle.classes
    parts = {
        name: dataset
        for name, dataset in (
            ("train", subject.train),
            ("validation", subject.validation),
            (subject.split, subject.reported),
        )
        if len(dataset)
    }
    counts = [dict(zip(each.classes, each.class_counts(), strict=True)) for each in parts.values()]
    of_class: dict[str, list[Path]] = {name: [] for name in classes[:EXAMPLE_CLASSES]}
    pool = subject.train if len(subject.train) else subject.reported
    for image in pool.images:
        for at in image.shown:
            of_class.get(pool.classes[at], []).append(image.path)
    chosen = {name: _spread(paths, EXAMPLES) for name, paths in of_class.items()}
    pictures = thumbnails((path for paths in chosen.values() for path in paths), side=88)
    return {
        "parts": list(parts),
        "counts": [(name, [each.get(name, 0) for each in counts]) for name in classes],
        "known": {name: [_known(name, each) for each in parts.values()] for name in classes}
        if subject.reported.task == MULTI
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


def _known(label: str, dataset: Dataset) -> int:
    """Of how many photos it is known whether they show a label."""
    if label not in dataset.classes:
        return 0
    at = dataset.classes.index(label)
    return sum(cast(Marks, image.annotation).values[at] != UNKNOWN for image in dataset.images)


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of them, from the first to the last."""
    kept = min(count, len(paths))
    return [paths[at * len(paths) // kept] for at in range(kept)]


def curve_charts(folder: Path, *, is_multi: bool = False) -> list[Any]:
    """Loss and accuracy (or mAP) over the epochs, where history.csv has them.

    For multi-label data training keeps no mAP, but the part of the known labels that is right.
    """
    rows = list(read_table(folder / HISTORY_FILE))
    epochs = [_float(row.get("epoch")) for row in rows]
    made = []
    accuracy = {"training": "accuracy", "validation": "validation_accuracy"}
    for title, columns in (
        ("Loss", {"training": "loss", "validation": "validation_loss"}),
        ("mAP", {"validation": accuracy["validation"]}) if is_multi else ("Accuracy", accuracy),
    ):
        lines = {name: [_float(row.get(key)) for row in rows] for name, key in columns.items()}
        if not np.isfinite(list(lines.values())).any() or not np.isfinite(epochs).all():
            continue
        last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in lines.items())
        made.append(charts.curves(title, epochs, lines, f"{title} by epoch; at the end {last}"))
    return made


def _float(text: str | None) -> float:
    """A number that can be drawn; NaN for any other text."""
    try:
        value = float(text or "nan")
    except ValueError:
        return float("nan")
    return value if abs(value) < LARGEST_DRAWN else float("nan")


def class_rows(evaluation: ClassEvaluation) -> list[dict[str, Any]]:
    """Every class's figures with their intervals."""
    return [
        {"figures": figures, "intervals": intervals}
        for figures, intervals in zip(evaluation.per_class(), evaluation.intervals(), strict=True)
    ]


def calibration_context(answers: Scored, axes: tuple[str, str] = PHOTO_AXES) -> dict[str, Any]:
    """Reliability diagrams and calibration errors with and without the temperature.

    Args:
        axes: what the diagrams' axes are called.
    """
    drawn = [("Temperature 1: as trained", 1.0)]
    if answers.temperature != 1:
        drawn.append((f"Temperature {answers.temperature:.2f}: as deployed", answers.temperature))
    errors, diagrams = [], []
    for title, temperature in drawn:
        confidences, is_right = answers.points_at(temperature)
        errors.append(expected_calibration_error(confidences, is_right))
        diagrams.append(
            charts.reliability_chart(
                title,
                *reliability(confidences, is_right),
                f"Reliability diagram at temperature {temperature:.2f}: expected calibration "
                f"error {errors[-1]:.3f}",
                *axes,
            )
        )
    return {
        "temperature": answers.temperature,
        "before": errors[0],
        "after": errors[-1],
        "least": least_calibration_error(confidences),
        "diagrams": diagrams,
    }


def threshold_context(
    precisions: Sequence[float], answers: Answers, choosing: Answers | None
) -> dict[str, Any]:
    """A threshold for each wanted precision, and what it does on the reported photos.

    Args:
        choosing: answers to the photos that the thresholds are chosen on; None chooses on the
            reported ones, which flatters.
    """
    chosen_on = answers if choosing is None else choosing
    rows = []
    for wanted in precisions:
        threshold = threshold_for(wanted, chosen_on.confidences, chosen_on.is_right)
        there = here = None
        if threshold is not None:
            there = measured(threshold, chosen_on.confidences, chosen_on.is_right)
            here = measured(threshold, answers.confidences, answers.is_right)
        rows.append({"wanted": wanted, "chosen": there, "here": here})
    _, precision, coverage = kept_precision(answers.confidences, answers.is_right)
    return {
        "rows": rows,
        "is_independent": choosing is not None,
        "chosen_on": len(chosen_on.labels),
        "chart": charts.coverage_chart(
            coverage,
            precision,
            f"Precision over coverage: {precision[-1]:.3f} when every photo is answered",
        ),
    }


def check_suspects(path: Path) -> None:
    """InputError when the file is no list of suspects."""
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


def suspect_rows(subject: Subject, path: Path | None = None) -> list[dict[str, Any]]:
    """Photos whose label may be wrong, as `path` or suspects.csv beside the bundle lists them."""
    listed = read_table(path or subject.folder / SUSPECT_FILE)
    rows = [row for row in listed if row.get("path")]
    places = [_find(row["path"], subject) for row in rows[:SUSPECTS]]
    pictures = thumbnails(path for path in places if path is not None)
    return [
        {
            "name": row["path"] if path is None else _short(path, subject.reported.root),
            "label": row.get("label", ""),
            "suggested": row.get("suggested", ""),
            "confidence": row.get("confidence") or row.get("confidence_in_suggested", ""),
            "picture": None if path is None else pictures.get(path),
            "total": len(rows),
        }
        for row, path in zip(rows, places, strict=False)
    ]


def _short(path: Path, root: Path) -> str:
    resolved, root = path.resolve(), root.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else path.name


def _find(name: str, subject: Subject) -> Path | None:
    for folder in (subject.reported.root, subject.folder):
        if (folder / name).is_file():
            return folder / name
    return None
