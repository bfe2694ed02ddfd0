"""What a lower precision, or another engine, is judged by: float32's outputs on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import LabelledImage
from pplcnet.exporting.timing import prepare, run_all
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.engines.engine import Engine
from pplcnet.tasks import find
from pplcnet.tasks.task import Judge, Measure, Outputs

__all__ = ["Reference"]


@dataclass(frozen=True)
class Reference:
    """Prepared validation images, their float32 outputs, and the judge of their labels."""

    images: NDArray[np.uint8]
    """(N, height, width, 3)."""
    outputs: Outputs
    judge: Judge
    measure: Measure
    """What `judge.value` is."""
    tolerance: float = 1e-4
    """How far float32 in another engine may differ (`Task.tolerance`)."""

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        preprocessing: Preprocessing,
        labelled: Sequence[LabelledImage],
        engine: Engine,
    ) -> Reference:
        """Run the labelled images through the float32 network that `engine` has loaded."""
        task = find(manifest.task)
        images = prepare(preprocessing, [each.path for each in labelled])
        judge = task.judge(manifest, labelled)
        return cls(images, run_all(engine, images), judge, task.measure, task.tolerance)

    def value(self, outputs: Outputs) -> float:
        """The task's measure of other outputs for the same images; NaN when one is NaN."""
        return self.judge.value(outputs)

    def relative_difference(self, outputs: Outputs) -> float:
        """The largest difference, relative to the largest value of its output; NaN with any NaN."""
        differences = [
            np.abs(outputs[name] - expected).max() / np.abs(expected).max()
            for name, expected in self.outputs.items()
        ]
        return float(np.max(differences))
