"""What a finished run leaves behind, in words."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pplcnet.bundle.manifest import Manifest
from pplcnet.runs.baseline import guessing_warning
from pplcnet.system.wording import counted
from pplcnet.tasks.classification.evaluation import Evaluation
from pplcnet.tasks.multilabel.evaluation import MultiLabelEvaluation

__all__ = ["JobResult"]


class JobResult(NamedTuple):
    """Where things are and how good they are."""

    bundle: Path
    evaluation_folder: Path
    evaluation: Evaluation | MultiLabelEvaluation
    evaluated_on: str
    """"test", or "validation" where no test images were held out."""
    manifest: Manifest
    page: Path | None = None
    """`report.html`; None where it could not be made, which was said."""

    def summary(self) -> list[str]:
        """A line each: accuracy, latency, where the bundle and the report are."""
        evaluation = self.evaluation
        chosen = " (which chose the epoch: a test split would be stricter)"
        caveat = chosen if self.evaluated_on == "validation" else ""
        if isinstance(evaluation, MultiLabelEvaluation):
            from pplcnet.metrics.intervals import written

            whole = written(evaluation.mean_average_precision, 4)
            accuracy = f"{whole} mAP, {written(evaluation.macro_f1, 4)} macro F1"
        else:
            accuracy = f"{evaluation.top1:.4f} top-1"
            if len(evaluation.classes) > 5:
                accuracy += f", {evaluation.top5:.4f} top-5"
        latency = self.manifest.variants["onnx"].get("latency")
        speed = (
            f"{latency['median_ms']} ms per image in the network "
            f"({latency['engine']}, {counted(latency['threads'], 'thread')})"
            if latency
            else "not measured"
        )
        return [
            f"accuracy    {accuracy} on "
            f"{counted(evaluation.images, f'{self.evaluated_on} image')}{caveat}",
            f"latency     {speed}",
            f"bundle      {self.bundle}",
            f"report      {self.page or self.evaluation_folder / 'evaluation.md'}",
        ]

    def advice(self) -> list[str]:
        """What to do about a network that is hardly better than guessing; nothing for others."""
        problem = guessing_warning(self.evaluation)
        if not problem:
            return []
        recipe = self.manifest.provenance.get("recipe", {})
        weights = "start from pretrained weights (--weights imagenet), "
        return [
            f"warning     {problem}",
            f"what helps  {weights if recipe.get('weights') is None else ''}train longer (--epochs "
            f"{3 * recipe.get('epochs', 20)}), find a better learning rate (--find-learning-rate), "
            "or check the labels (pplcnet check, pplcnet suspects)",
        ]
