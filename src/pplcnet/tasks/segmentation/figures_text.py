"""A segmenter's figures for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pplcnet.system.wording import format_number, listed, printable

if TYPE_CHECKING:
    from pplcnet.tasks.segmentation.evaluation import MaskEvaluation

__all__ = ["evaluation_text"]


def evaluation_text(evaluation: MaskEvaluation, mistakes: int) -> str:
    """The figures, and the `mistakes` worst images."""
    figures = {
        name: format_number(value, 4)
        for name, value in evaluation.figures().items()
        if value is None or isinstance(value, float)
    }
    between = ""
    if evaluation.interval:
        low, high = (format_number(each) for each in evaluation.interval)
        between = f" (95 % interval {low} to {high}, bootstrap over photos)"
    lines = [
        f"mIoU {figures['miou']}{between}   pixel accuracy {figures['pixel_accuracy']}   "
        f"images {evaluation.images}",
        f"mean Dice {figures['mean_dice']}   boundary F1 {figures['boundary_f1']}   "
        f"kappa {figures['kappa']}",
    ]
    if evaluation.absent:
        is_one = len(evaluation.absent) == 1
        lines.append(
            "left out of every mean, because neither a mask nor an answer has "
            f"{'it' if is_one else 'them'}: {listed(evaluation.absent, 12)}"
        )
    width = max(len(label) for label in (*evaluation.classes, "class"))
    total = max(1, int(evaluation.areas.there.sum()))
    lines.append(
        f"{'class':<{width}}  pixels  images    IoU  precision  recall   Dice  boundary F1  "
        "regions  found"
    )
    lines += [
        f"{each.label:<{width}}  {each.pixels / total:>6.1%}  {each.images:>6}  "
        f"{format_number(each.iou):>5}  {format_number(each.precision):>9}  "
        f"{format_number(each.recall):>6}  {format_number(each.dice):>5}  "
        f"{format_number(each.boundary_f1):>11}  {each.regions:>7}  {each.found:>5}"
        for each in evaluation.per_class()
    ]
    worst = [evaluation.per_image[at] for at in evaluation.worst_first[:mistakes]]
    if worst:
        lines.append("the photos with the lowest mIoU:")
    lines += [
        f"  {each.name}: {format_number(each.miou)}{f'; {each.mistake}' if each.mistake else ''}"
        for each in worst
    ]
    return "\n".join(map(printable, lines))
