"""A detector's figures for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pplcnet.system.wording import counted, format_number, printable

if TYPE_CHECKING:
    from pplcnet.tasks.detection.evaluation import BoxEvaluation

__all__ = ["evaluation_text"]


def evaluation_text(evaluation: BoxEvaluation, mistakes: int) -> str:
    """The figures, and the worst mistakes of each kind, at most `mistakes` per kind."""
    figures = {
        name: format_number(value, 4)
        for name, value in evaluation.figures().items()
        if value is None or isinstance(value, float)
    }
    width = max(len(label) for label in (*evaluation.classes, "class"))
    between = ""
    if evaluation.interval:
        low, high = (format_number(each) for each in evaluation.interval)
        between = f" (95 % interval {low} to {high}, bootstrap over photos)"
    lines = [
        f"AP {figures['box_map']}{between}   AP50 {figures['ap50']}   AP75 {figures['ap75']}   "
        f"images {evaluation.images}",
        f"AP small {figures['ap_small']}   medium {figures['ap_medium']}   large "
        f"{figures['ap_large']} (under 32x32, under 96x96, and larger, in pixels of the photo)",
        f"boxes with a confidence of {evaluation.confidence:.2f} or more: precision "
        f"{figures['precision']}   recall {figures['recall']}   F1 {figures['f1']}",
        f"{'class':<{width}}  boxes  images     AP   AP50  precision  recall     F1  "
        "best F1  at confidence",
    ]
    lines += [
        f"{each.label:<{width}}  {each.boxes:>5}  {each.images:>6}  "
        f"{format_number(each.average_precision):>5}  {format_number(each.ap50):>5}  "
        f"{format_number(each.precision):>9}  {format_number(each.recall):>6}  "
        f"{format_number(each.f1):>5}  {format_number(each.best_f1):>7}  "
        f"{format_number(each.best_threshold):>13}"
        for each in evaluation.per_class()
    ]
    wrong = [each for each in evaluation.mistakes if each.kind != "missed"]
    missed = [each for each in evaluation.mistakes if each.kind == "missed"]
    for title, chosen in (
        (f"the most confident of {counted(len(wrong), 'wrong box', 'wrong boxes')}:", wrong),
        (f"the largest of {counted(len(missed), 'missed box', 'missed boxes')}:", missed),
    ):
        if chosen[:mistakes]:
            lines.append(title)
        lines += [f"  {each.to_text()}" for each in chosen[:mistakes]]
    return "\n".join(map(printable, lines))
