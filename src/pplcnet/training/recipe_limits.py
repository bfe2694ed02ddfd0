"""What the fields of a recipe may be, alone and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pplcnet.training.recipe import Recipe

__all__ = ["Limit", "idle_fields", "limits"]


class Limit(NamedTuple):
    """What is asked of a field."""

    field: str
    is_kept: bool
    allowed: str
    """In words, for the message."""


def limits(recipe: Recipe) -> list[Limit]:
    """Every limit, kept or not; the fields have the right types already."""
    return [Limit(*each) for each in (*_of_plain_training(recipe), *_of_what_goes_beyond(recipe))]


def _of_plain_training(recipe: Recipe) -> list[tuple[str, bool, str]]:
    (low_scale, high_scale), (low_ratio, high_ratio) = recipe.crop_scale, recipe.crop_ratio
    return [
        ("image_size", all(1 <= side <= 4096 for side in recipe.image_size), "1 to 4096 pixels"),
        ("head_epochs", recipe.head_epochs >= 0, "0 or above"),
        ("layer_decay", 0 < recipe.layer_decay <= 1, "above 0, up to 1"),
        (
            "freeze",
            not (recipe.freeze and recipe.weights is None),
            "a stage only together with weights",
        ),
        ("dropout", 0 <= recipe.dropout < 1, "0 up to, not including, 1"),
        ("epochs", recipe.epochs >= 1, "at least 1"),
        ("batch_size", recipe.batch_size >= 1, "at least 1"),
        (
            "learning_rate",
            recipe.learning_rate is None or 0 < recipe.learning_rate < 1e6,
            "above 0",
        ),
        ("warmup_epochs", 0 <= recipe.warmup_epochs <= recipe.epochs, "0 to the number of epochs"),
        ("weight_decay", recipe.decay >= 0, "0 or above"),
        ("label_smoothing", 0 <= recipe.label_smoothing < 1, "0 up to, not including, 1"),
        ("gradient_clip", recipe.gradient_clip >= 0, "0 (off) or above"),
        ("crop_scale", 0 < low_scale <= high_scale <= 1, "two rising numbers, above 0 to 1"),
        ("crop_ratio", 0 < low_ratio <= high_ratio, "two rising numbers above 0"),
        ("validation", 0 < recipe.validation < 1, "between 0 and 1"),
        (
            "test",
            recipe.test >= 0 and recipe.test + recipe.validation < 1,
            "0 up to 1 - validation",
        ),
        ("seed", 0 <= recipe.seed < 2**32, "0 up to 4294967295"),
        ("crop_fraction", 0 < recipe.crop_fraction <= 1, "above 0, up to 1"),
        ("cache_gigabytes", recipe.cache_gigabytes >= 0, "0 or above"),
        ("disk_cache_gigabytes", recipe.disk_cache_gigabytes >= 0, "0 (off) or above"),
        ("workers", recipe.workers >= 1, "at least 1"),
    ]


def _of_what_goes_beyond(recipe: Recipe) -> list[tuple[str, bool, str]]:
    test_size = recipe.test_image_size or (1, 1)
    alone = (
        (recipe.distillation == "mutual" and recipe.teacher is not None)
        or (recipe.unlabelled is not None and recipe.teacher is None)
        or (recipe.distillation_layers and recipe.teacher is None)
    )
    learns_features = recipe.freeze == "trunk" and (
        recipe.teacher is not None
        or recipe.distillation == "mutual"
        or recipe.mixup > 0
        or recipe.cutmix > 0
        or recipe.balanced_sampling
    )
    return [
        (
            "test_image_size",
            all(1 <= side <= 4096 for side in test_size),
            "1 to 4096 pixels",
        ),
        (
            "devices",
            recipe.devices == 1
            or (
                recipe.devices > 1
                and recipe.batch_size % recipe.devices == 0
                and recipe.gradient_accumulation == 1
                and recipe.freeze != "trunk"
            ),
            "1, or a number that divides batch_size, without gradient_accumulation and "
            "freeze=trunk",
        ),
        ("early_stopping", recipe.early_stopping >= 0, "0 (off) or above"),
        ("recalibrate_batchnorm", recipe.recalibrate_batchnorm >= 0, "0 (off) or above"),
        ("focal_gamma", 0 <= recipe.focal_gamma <= 10, "0 to 10"),
        ("gradient_accumulation", recipe.gradient_accumulation >= 1, "at least 1"),
        ("ema", 0 <= recipe.ema < 1, "0 (off) up to, not including, 1"),
        ("drop_path", 0 <= recipe.drop_path < 1, "0 up to, not including, 1"),
        ("augment_operations", 1 <= recipe.augment_operations <= 14, "1 to 14"),
        ("augment_magnitude", 0 <= recipe.augment_magnitude <= 30, "0 to 30"),
        ("random_erasing", 0 <= recipe.random_erasing <= 1, "0 to 1"),
        ("mixup", 0 <= recipe.mixup <= 100, "0 (off) to 100"),
        ("cutmix", 0 <= recipe.cutmix <= 100, "0 (off) to 100"),
        ("progressive_resizing", 0.25 <= recipe.progressive_resizing <= 1, "0.25 to 1 (off)"),
        ("distillation_weight", 0 <= recipe.distillation_weight <= 1, "0 to 1"),
        ("distillation_temperature", recipe.distillation_temperature > 0, "above 0"),
        (
            "distillation_layers",
            recipe.distillation_layers.count(":") == (1 if recipe.distillation_layers else 0),
            "STUDENT_LAYER:TEACHER_LAYER",
        ),
        (
            "teacher",
            not alone,
            "one with unlabelled and distillation_layers, none with distillation=mutual",
        ),
        (
            "freeze",
            not learns_features,
            "trunk only without distillation, mixup, cutmix and balanced_sampling, for which "
            "the features are computed too early",
        ),
    ]


def idle_fields(recipe: Recipe, *, is_multi: bool) -> list[str]:
    """A sentence for each group of fields that were set and change nothing in this run."""
    defaults = type(recipe)()

    def changed(*names: str) -> str:
        return ", ".join(name for name in names if getattr(recipe, name) != getattr(defaults, name))

    groups: list[tuple[str, str]] = []
    if recipe.freeze == "trunk":
        names = changed(
            "augment", "random_erasing", "progressive_resizing", "drop_path",
            "recalibrate_batchnorm",
        )  # fmt: skip
        groups.append((names, "features are computed once, with freeze=trunk"))
    if is_multi:
        groups.append((changed("loss", "class_weights"), "photos have several labels"))
    if recipe.distils and recipe.distillation == "ssld":
        names = changed("loss", "class_weights", "distillation_weight", "distillation_temperature")
        groups.append((names, "distillation=ssld looks at no labels"))
    if not recipe.distils:
        names = changed("distillation", "distillation_weight", "distillation_temperature")
        groups.append((names, "there is no teacher"))
    return [f"no effect of {names}: {reason}" for names, reason in groups if names]
