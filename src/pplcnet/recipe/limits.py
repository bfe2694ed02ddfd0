"""What the fields of a recipe may be, alone and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pplcnet.recipe.recipe import Recipe

__all__ = ["Limit", "limits"]

MOST_EPOCHS = 1_000_000


class Limit(NamedTuple):
    """What is asked of a field."""

    field: str
    is_kept: bool
    demand: str
    """What the field must be or needs, in words, for the message."""


def limits(recipe: Recipe) -> list[Limit]:
    """Every limit, kept or not; the fields have the right types already."""
    return [Limit(*each) for each in (*_of_plain_training(recipe), *_of_what_goes_beyond(recipe))]


def _of_plain_training(recipe: Recipe) -> list[tuple[str, bool, str]]:
    (low_scale, high_scale), (low_ratio, high_ratio) = recipe.crop_scale, recipe.crop_ratio
    return [
        (
            "image_size",
            all(1 <= side <= 4096 for side in recipe.image_size),
            "must be 1 to 4096 pixels",
        ),
        ("head_epochs", 0 <= recipe.head_epochs <= MOST_EPOCHS, f"must be 0 to {MOST_EPOCHS:,}"),
        ("layer_decay", 0 < recipe.layer_decay <= 1, "must be above 0 and at most 1"),
        (
            "freeze",
            not (recipe.freeze and recipe.weights is None),
            "needs weights",
        ),
        ("dropout", 0 <= recipe.dropout < 1, "must be at least 0 and below 1"),
        ("epochs", 1 <= recipe.epochs <= MOST_EPOCHS, f"must be 1 to {MOST_EPOCHS:,}"),
        ("batch_size", 1 <= recipe.batch_size <= 65_536, "must be 1 to 65536"),
        (
            "learning_rate",
            recipe.learning_rate is None or 0 < recipe.learning_rate < 1e6,
            "must be above 0 and below a million",
        ),
        (
            "warmup_epochs",
            # Where the epochs are wrong, the warm-up is not a second fault.
            0 <= recipe.warmup_epochs <= (recipe.epochs if recipe.epochs >= 1 else MOST_EPOCHS),
            "must be 0 to the number of epochs",
        ),
        ("weight_decay", 0 <= recipe.decay <= 1e6, "must be 0 to a million"),
        ("label_smoothing", 0 <= recipe.label_smoothing < 1, "must be at least 0 and below 1"),
        ("gradient_clip", 0 <= recipe.gradient_clip <= 1e6, "must be 0 (off) to a million"),
        (
            "crop_scale",
            1e-4 <= low_scale <= high_scale <= 1,
            "must be two rising numbers, 0.0001 to 1",
        ),
        (
            "crop_ratio",
            0.01 <= low_ratio <= high_ratio <= 100,
            "must be two rising numbers, 0.01 to 100",
        ),
        ("validation", 0 < recipe.validation < 1, "must be between 0 and 1"),
        (
            "test",
            recipe.test >= 0 and recipe.test + recipe.validation < 1,
            "must be at least 0 and below 1 - validation",
        ),
        ("seed", 0 <= recipe.seed < 2**32, "must be 0 to 4294967295"),
        ("crop_fraction", 0.01 <= recipe.crop_fraction <= 1, "must be 0.01 to 1"),
        ("cache_gigabytes", 0 <= recipe.cache_gigabytes <= 1e6, "must be 0 to a million"),
        (
            "disk_cache_gigabytes",
            0 <= recipe.disk_cache_gigabytes <= 1e6,
            "must be 0 (off) to a million",
        ),
        ("workers", 1 <= recipe.workers <= 1024, "must be 1 to 1024"),
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
            "must be 1 to 4096 pixels",
        ),
        (
            "devices",
            recipe.devices == 1
            or (
                1 < recipe.devices <= 1024
                and recipe.batch_size % recipe.devices == 0
                and recipe.gradient_accumulation == 1
                and recipe.freeze != "trunk"
            ),
            "must be 1, or divide batch_size, without gradient_accumulation and freeze=trunk",
        ),
        ("early_stopping", 0 <= recipe.early_stopping <= MOST_EPOCHS, "must be 0 (off) or above"),
        (
            "recalibrate_batchnorm",
            0 <= recipe.recalibrate_batchnorm <= 1e9,
            "must be 0 (off) or above",
        ),
        ("focal_gamma", 0 <= recipe.focal_gamma <= 10, "must be 0 to 10"),
        (
            "gradient_accumulation",
            1 <= recipe.gradient_accumulation <= 65_536,
            "must be 1 to 65536",
        ),
        ("ema", 0 <= recipe.ema < 1, "must be 0 (off), or above 0 and below 1"),
        ("drop_path", 0 <= recipe.drop_path < 1, "must be at least 0 and below 1"),
        ("augment_operations", 1 <= recipe.augment_operations <= 14, "must be 1 to 14"),
        ("augment_magnitude", 0 <= recipe.augment_magnitude <= 30, "must be 0 to 30"),
        ("random_erasing", 0 <= recipe.random_erasing <= 1, "must be 0 to 1"),
        (
            "mixup",
            recipe.mixup == 0 or 0.001 <= recipe.mixup <= 100,
            "must be 0 (off), or 0.001 to 100",
        ),
        (
            "cutmix",
            recipe.cutmix == 0 or 0.001 <= recipe.cutmix <= 100,
            "must be 0 (off), or 0.001 to 100",
        ),
        (
            "progressive_resizing",
            0.25 <= recipe.progressive_resizing <= 1,
            "must be 0.25 to 1 (off)",
        ),
        ("distillation_weight", 0 <= recipe.distillation_weight <= 1, "must be 0 to 1"),
        (
            "distillation_temperature",
            0.01 <= recipe.distillation_temperature <= 1000,
            "must be 0.01 to 1000",
        ),
        (
            "distillation_layers",
            recipe.distillation_layers.count(":") == (1 if recipe.distillation_layers else 0),
            "must be STUDENT_LAYER:TEACHER_LAYER",
        ),
        (
            "teacher",
            not alone,
            "is needed with unlabelled and distillation_layers, and excludes distillation=mutual",
        ),
        (
            "freeze",
            not learns_features,
            "cannot be trunk with distillation, mixup, cutmix or balanced_sampling: the features "
            "are computed before these take effect",
        ),
    ]
