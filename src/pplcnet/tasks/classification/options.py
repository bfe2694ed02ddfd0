"""The recipe fields of classification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pplcnet.recipe.fields import Need, Searched
from pplcnet.recipe.task_options import TaskOptions
from pplcnet.recipe.values import Between

if TYPE_CHECKING:
    from pplcnet.recipe.recipe import Recipe

__all__ = ["OPTIONS", "ClassificationOptions"]

_LABELS = Need(
    lambda _, options: not (options.distils and options.distillation == "ssld"),
    "distillation=ssld looks at no labels",
)
_FOCAL = Need(lambda _, options: options.loss == "focal", "the loss is not focal")
_TAUGHT = Need(lambda _, options: options.distils, "there is no teacher")
_TEMPERED = Need(
    lambda _, options: options.distillation == "soft", "only distillation=soft has a temperature"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationOptions(TaskOptions):
    """The recipe fields for single-label data, beside those of every task."""

    data: ClassVar[str] = "single-label"

    label_smoothing: Annotated[float, Between(0, 1, "high"), Searched(0.0, 0.2), _LABELS] = 0.05
    """Fraction of the target spread evenly over all classes."""
    loss: Annotated[Literal["cross-entropy", "focal"], _LABELS] = "cross-entropy"
    """cross-entropy, or the focal loss (arXiv 1708.02002), which gives more weight to photos that
    are still wrong."""
    focal_gamma: Annotated[float, Between(0, 10), _LABELS, _FOCAL] = 2.0
    """How much the focal loss discounts photos that are already classified correctly."""
    class_weights: Annotated[Literal["none", "balanced"], _LABELS] = "none"
    """balanced: weights each class by how much rarer it is than average."""
    balanced_sampling: bool = False
    """Draw the photos of an epoch so that every class occurs equally often."""
    mixup: Annotated[float, Between(0.001, 100, off=0)] = 0.0
    """Mix pairs of pictures and their labels (arXiv 1710.09412), by Beta(mixup, mixup). If cutmix
    is on too, every batch uses one of the two."""
    cutmix: Annotated[float, Between(0.001, 100, off=0)] = 0.0
    """Paste a rectangle of one picture into another (arXiv 1905.04899), by Beta(cutmix, cutmix)."""
    teacher: str | None = None
    """Bundle or `.keras` file of a trained network that this one learns from (pplcnet distill)."""
    distillation: Annotated[Literal["soft", "ssld", "mutual"], _TAUGHT] = "soft"
    """soft: the labels and the teacher's softened answers (arXiv 1503.02531). ssld: only the
    teacher's answers, with a symmetric loss (arXiv 2103.05959), so that unlabelled photos help.
    mutual: two networks learn together, each from the other (arXiv 1706.00384); no teacher
    needed."""
    distillation_weight: Annotated[float, Between(0, 1), _TAUGHT, _LABELS] = 0.7
    """Fraction of the loss that comes from the teacher, or the other student."""
    distillation_temperature: Annotated[float, Between(0.01, 1000), _TAUGHT, _TEMPERED] = 3.0
    """Logits are divided by this before soft answers are compared."""
    distillation_layers: str = ""
    """STUDENT_LAYER:TEACHER_LAYER: also make the first layer's features match the second's, through
    a 1x1 convolution. The teacher needs a Keras network. Empty is off."""
    unlabelled: str | None = None
    """Folder of unlabelled photos to learn from as well; needs a teacher."""

    @property
    def has_peer(self) -> bool:
        """Whether two students learn from each other."""
        return self.distillation == "mutual"

    def rules(self, recipe: Recipe) -> Iterator[tuple[str, bool, str]]:
        """Rules between fields, as `TaskOptions.rules` describes them."""
        has_layers = self.distillation_layers != ""
        yield (
            "distillation_layers",
            self.distillation_layers.count(":") == (1 if has_layers else 0),
            "must be STUDENT_LAYER:TEACHER_LAYER",
        )
        needs_teacher = self.unlabelled is not None or has_layers
        yield (
            "teacher",
            not self.has_peer if self.teacher is not None else not needs_teacher,
            "is needed with unlabelled and distillation_layers, and excludes distillation=mutual",
        )


OPTIONS = ClassificationOptions
