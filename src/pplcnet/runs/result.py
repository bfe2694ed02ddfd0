"""The result of a finished run, and its summary for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pplcnet.bundle.manifest import Manifest
from pplcnet.system.wording import counted
from pplcnet.tasks.task import Evaluation
from pplcnet.weights.starts import Start

__all__ = ["JobResult"]


class JobResult(NamedTuple):
    """Where the run's files are, and how good its network is."""

    bundle: Path
    evaluation_folder: Path
    evaluation: Evaluation
    evaluated_on: str
    """"test", or "validation" where no test images were held out."""
    manifest: Manifest
    page: Path | None = None
    """`report.html`; None if it could not be written (the watcher was told why)."""

    def summary(self) -> list[str]:
        """Lines with the task's figures, the latency, and where the bundle and the report are."""
        evaluation = self.evaluation
        chosen = " (which also chose the epoch; a test split would be stricter)"
        caveat = chosen if self.evaluated_on == "validation" else ""
        latency = self.manifest.variants["onnx"].get("latency")
        speed = (
            f"{latency['median_ms']} ms per image in the network "
            f"({latency['engine']}, {counted(latency['threads'], 'thread')})"
            if latency
            else "not measured"
        )
        start = Start.of_provenance(self.manifest.provenance)
        return [
            *([f"start       {start.describe()}"] if start is not None else []),
            f"result      {evaluation.headline()} on "
            f"{counted(evaluation.images, f'{self.evaluated_on} image')}{caveat}",
            f"latency     {speed}",
            f"bundle      {self.bundle}",
            f"report      {self.page or self.evaluation_folder / 'evaluation.md'}",
        ]

    def advice(self) -> list[str]:
        """What to do about a network that is no better than guessing; empty for others."""
        problem = self.evaluation.weakness()
        if not problem:
            return []
        recipe = self.manifest.provenance.get("recipe", {})
        start = Start.of_provenance(self.manifest.provenance)
        has_better = start is None or start.weights is None or start.has_seen_formulas
        weights = "start from pretrained weights (--weights imagenet), " if has_better else ""
        return [
            f"warning     {problem}: the network has learned little or nothing",
            f"what helps  {weights}train longer (--epochs "
            f"{3 * recipe.get('epochs', 20)}), find a better learning rate (--find-learning-rate), "
            "or check the labels (pplcnet check, pplcnet suspects)",
        ]
