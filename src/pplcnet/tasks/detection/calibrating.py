"""The confidence threshold for showing boxes, chosen on validation images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import LabelledImage
from pplcnet.tasks.detection.judge import judge
from pplcnet.tasks.task import Calibrated, Outputs

__all__ = ["calibrate"]

LEAST, MOST = 0.05, 0.95
"""Bounds on the choice: a threshold at either end would show everything, or nothing."""


def calibrate(
    manifest: Manifest, outputs: Iterable[Outputs], images: Sequence[LabelledImage]
) -> Calibrated:
    """Choose the confidence with the best F1 at an IoU of 0.5, over all classes together.

    If no true box was found, the threshold stays as it was.
    """
    judged = judge(manifest, images).judged(outputs)
    best = judged.matches.best_threshold()
    before = judged.judge.confidence
    if best is None:
        text = f"the confidence threshold stays {before:.2f}: no true box was found to choose it by"
        return Calibrated({"confidence": before}, {"text": text}, changes_answers=False)
    confidence = round(min(MOST, max(LEAST, best.threshold)), 3)
    facts = {
        "confidence": confidence,
        "f1": round(best.f1, 4),
        "text": f"boxes are shown at a confidence of {confidence:.2f} or more, where F1 is best "
        f"({best.f1:.3f} at an IoU of 0.5)",
    }
    return Calibrated(
        {"confidence": confidence},
        facts,
        changes_answers=manifest.decoding.get("confidence") != confidence,
    )
