"""Classification whose network also returns its last feature map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pplcnet.tasks.classification.task import TASK as CLASSIFICATION

FEATURES = (2, 2, 128)
"""Height, width and channels of the feature map."""


def _outputs(
    classes: Sequence[str], image_size: tuple[int, int], network: str
) -> Mapping[str, tuple[int, ...]]:
    return {"logits": (len(classes),), "features": FEATURES}


TASK = replace(CLASSIFICATION, name="pair", outputs=_outputs, outputs_text="")
