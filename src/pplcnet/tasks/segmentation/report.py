"""The report on a segmenter."""

from __future__ import annotations

from typing import Any

from pplcnet.pages.section import ReportContext, Section, TaskReport, Tile
from pplcnet.system.wording import counted, format_number
from pplcnet.tasks.segmentation.answers import MaskAnswers
from pplcnet.tasks.segmentation.boundaries import REACH
from pplcnet.tasks.segmentation.cells import WRONG, chosen_photos, hex_colour, photo_values
from pplcnet.tasks.segmentation.colours import colour_of
from pplcnet.tasks.segmentation.evaluation import MaskEvaluation
from pplcnet.tasks.segmentation.plot import region_charts
from pplcnet.tasks.segmentation.regions import LEAST_PIXELS

__all__ = ["report"]

CONFUSED = 30
"""The maximum number of classes in a confusion matrix."""


def report(context: ReportContext) -> TaskReport:
    """The tiles and sections of a segmenter's report."""
    evaluation: MaskEvaluation = context.evaluation
    answers = MaskAnswers(
        context.bundle.manifest, context.reported, evaluation, context.predictions
    )
    colours = [hex_colour(colour_of(at)) for at in range(len(evaluation.classes))]
    classes = {
        "rows": evaluation.per_class(),
        "colours": colours,
        "total": max(1, int(evaluation.areas.there.sum())),
        "absent": evaluation.absent,
        "reach": REACH,
    }
    sections = [
        Section("classes", "Classes", "classes.html", classes),
        _photos(context, evaluation, colours),
        *_confusion(evaluation),
        *_sizes(evaluation),
    ]
    return TaskReport(context.title("class"), _tiles(evaluation), sections, answers)


def _tiles(evaluation: MaskEvaluation) -> list[Tile]:
    figures = evaluation.figures()
    averaged = len(evaluation.classes) - len(evaluation.absent)
    note = f"mean over {counted(averaged, 'class')}"
    if evaluation.interval:
        low, high = map(format_number, evaluation.interval)
        note += f"; 95 % interval {low} to {high} (bootstrap over photos)"
    regions = evaluation.regions
    missed = int((~regions.is_found).sum())
    return [
        Tile(format_number(figures["miou"]), "mIoU", note),
        Tile(
            format_number(figures["pixel_accuracy"]),
            "pixel accuracy",
            f"kappa {format_number(figures['kappa'])}",
        ),
        Tile(format_number(figures["mean_dice"]), "mean Dice"),
        Tile(format_number(figures["boundary_f1"]), "boundary F1", "mean over classes"),
        Tile(str(missed), "missed regions", f"of {len(regions.pixels)}"),
    ]


def _photos(context: ReportContext, evaluation: MaskEvaluation, colours: list[str]) -> Section:
    groups = [
        {
            "title": title,
            "photos": photo_values(context.reported, evaluation, context.predictions, places),
        }
        for title, places in chosen_photos(evaluation)
    ]
    occurs = (~evaluation.areas.is_absent).tolist()
    legend = [
        {"name": name, "colour": colour}
        for name, colour, is_there in zip(evaluation.classes, colours, occurs, strict=True)
        if is_there
    ]
    values: dict[str, Any] = {
        "groups": groups,
        "shown": sum(len(each["photos"]) for each in groups),
        "images": evaluation.images,
        "legend": legend,
        "wrong": hex_colour(WRONG),
    }
    return Section("photos", "Photos", "overlays.html", values)


def _confusion(evaluation: MaskEvaluation) -> list[Section]:
    if len(evaluation.classes) > CONFUSED:
        return []
    table = evaluation.table
    has_nothing = bool(table[:, -1].any())
    names = [*evaluation.classes, *(["nothing"] if has_nothing else [])]
    rows = []
    for at, row in enumerate(table.tolist()):
        total = max(1, sum(row))
        cells = [
            {
                "pixels": pixels,
                "share": pixels / total,
                "text": _percent(pixels / total),
                "is_right": at == column,
            }
            for column, pixels in enumerate(row[: len(names)])
        ]
        rows.append({"name": evaluation.classes[at], "cells": cells})
    values = {"names": names, "rows": rows}
    return [Section("confusion", "Confusion", "pixel_confusion.html", values)]


def _percent(share: float) -> str:
    """A short percentage: "<0.1", "0.4", "12"."""
    percent = 100 * share
    if percent < 0.1:
        return "<0.1"
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"


def _sizes(evaluation: MaskEvaluation) -> list[Section]:
    charts = region_charts(evaluation)
    if not charts:
        return []
    values = {"charts": charts, "least": LEAST_PIXELS}
    return [Section("sizes", "Sizes", "regions_by_size.html", values)]
