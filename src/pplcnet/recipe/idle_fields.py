"""Recipe fields that were set and change nothing, said before hours of training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import NamedTuple

from pplcnet.recipe.recipe import Recipe

__all__ = ["NEEDS", "idle_fields"]


class Need(NamedTuple):
    """What has to hold for a field to have an effect, and what is said where it does not."""

    is_met: Callable[[Recipe, bool], bool]
    """Of the recipe, and whether photos have several labels."""
    reason: str


_LAYERS = Need(
    lambda recipe, _: recipe.freeze != "trunk", "features are computed once, with freeze=trunk"
)
_ONE_LABEL = Need(lambda _, is_multi: not is_multi, "photos have several labels")
_SEVERAL_LABELS = Need(lambda _, is_multi: is_multi, "photos have one class each")
_LABELS = Need(
    lambda recipe, _: not (recipe.distils and recipe.distillation == "ssld"),
    "distillation=ssld looks at no labels",
)
_TAUGHT = Need(lambda recipe, _: recipe.distils, "there is no teacher")
_TEMPERED = Need(
    lambda recipe, _: recipe.distillation == "soft", "only distillation=soft has a temperature"
)
_FOCAL = Need(lambda recipe, _: recipe.loss == "focal", "the loss is not focal")
_RANDAUGMENT = Need(lambda recipe, _: recipe.augment == "randaugment", "augment is not randaugment")
_SMOOTHED = Need(
    lambda recipe, is_multi: not (is_multi and recipe.multilabel_loss == "asymmetric"),
    "multilabel_loss=asymmetric takes no label smoothing",
)
_COVERED = Need(lambda recipe, _: recipe.resize == "cover", "resize is not cover")

NEEDS: Mapping[str, tuple[Need, ...]] = {
    "model": (),
    "image_size": (),
    "test_image_size": (),
    "weights": (),
    "freeze": (),
    "head_epochs": (),
    "layer_decay": (_LAYERS,),
    "dropout": (),
    "epochs": (),
    "early_stopping": (),
    "recalibrate_batchnorm": (_LAYERS,),
    "batch_size": (),
    "optimizer": (),
    "learning_rate": (),
    "warmup_epochs": (),
    "weight_decay": (),
    "label_smoothing": (_SMOOTHED, _LABELS),
    "multilabel_loss": (_SEVERAL_LABELS,),
    "loss": (_ONE_LABEL, _LABELS),
    "focal_gamma": (_ONE_LABEL, _LABELS, _FOCAL),
    "class_weights": (_ONE_LABEL, _LABELS),
    "balanced_sampling": (),
    "gradient_clip": (),
    "gradient_accumulation": (),
    "ema": (),
    "drop_path": (_LAYERS,),
    "crop_scale": (_LAYERS,),
    "crop_ratio": (_LAYERS,),
    "horizontal_flip": (),
    "augment": (_LAYERS,),
    "augment_operations": (_LAYERS, _RANDAUGMENT),
    "augment_magnitude": (_LAYERS, _RANDAUGMENT),
    "random_erasing": (_LAYERS,),
    "mixup": (),
    "cutmix": (),
    "progressive_resizing": (_LAYERS,),
    "validation": (),
    "test": (),
    "seed": (),
    "crop_fraction": (_COVERED,),
    "resize": (),
    "interpolation": (),
    "cache_gigabytes": (),
    "disk_cache_gigabytes": (),
    "workers": (),
    "devices": (),
    "precision": (),
    "teacher": (),
    "distillation": (_TAUGHT,),
    "distillation_weight": (_TAUGHT, _LABELS),
    "distillation_temperature": (_TAUGHT, _TEMPERED),
    "distillation_layers": (),
    "unlabelled": (),
    "tensorboard": (),
}
"""Every field of the recipe. Where it has no needs, it has an effect wherever it is allowed."""


def idle_fields(recipe: Recipe, *, is_multi: bool) -> list[str]:
    """A sentence for each group of fields that were set and change nothing in this run."""
    defaults = Recipe()
    idle: dict[str, list[str]] = defaultdict(list)
    for field in fields(recipe):
        if getattr(recipe, field.name) == getattr(defaults, field.name):
            continue
        unmet = [need for need in NEEDS[field.name] if not need.is_met(recipe, is_multi)]
        if unmet:
            idle[unmet[0].reason].append(field.name)
    return [f"no effect of {', '.join(names)}: {reason}" for reason, names in idle.items()]
