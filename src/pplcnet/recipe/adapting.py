"""Sets a recipe's open fields by the number of images: batch size, learning rate and others.

A data set of a few hundred images gives few training steps, and settings that are right for
thousands of steps diverge or learn nothing in a few hundred. Everything that depends on the number
of steps is decided here and nowhere else; fields that are set are left as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import has_seen_formulas
from pplcnet.system.wording import counted

__all__ = [
    "LEAST_STEPS",
    "adapted",
    "automatic_batch_size",
    "describe_adapted",
    "earlier",
    "open_fields",
    "steps_of",
]

OPEN = ("batch_size", "learning_rate", "warmup_epochs", "recalibrate_batchnorm")
"""Fields that a recipe may leave open."""

BATCH_SIZES = (32, 16, 8)
"""Batch sizes to try; the first that leaves enough steps is used."""
ENOUGH_STEPS = 600
"""Optimiser steps that a batch size should leave; more steps help less than larger batches save."""
LEAST_STEPS = 250
"""With fewer steps, a network from scratch learns little, whatever the learning rate."""

REFERENCE_BATCH = 16
RATES = {"sgd": 0.1, "adamw": 0.004}
"""Peak learning rates at the reference batch, from scratch."""
HIGHEST_RATES = {"sgd": 0.4, "adamw": 0.008}
"""Above these, training from scratch diverges, however large the batch is."""
FROM_WEIGHTS = 0.125
"""Factor on the rates if training starts from weights pretrained on photos."""
FROM_FORMULAS = 0.5
"""The same for a backbone pretrained only on formula pictures, which has more to learn."""
HIGHEST_FROM_FORMULAS = 0.8
"""From such a backbone, SGD's rate grows linearly with the batch, up to this rate."""

WARMUP_PART = 0.1
WARMUP_STEPS = 50, 1000
"""The fewest and the most warm-up steps."""
MOST_WARMUP = 1 / 3
"""The largest fraction of a run that is warm-up."""

RECALIBRATED = 256
RECALIBRATED_BATCHES = 4


def adapted(recipe: Recipe, images: int) -> Recipe:
    """The recipe with every field set that depends on the number of training images.

    It depends on nothing else, so a resumed run gets the same. Adapting again changes nothing.

    Args:
        images: number of training images, including unlabelled ones; at least 1.
    """
    batch_size = recipe.batch_size or automatic_batch_size(recipe, images)
    sized = replace(recipe, batch_size=batch_size)
    steps = steps_of(sized, images)
    per_epoch = steps / recipe.epochs
    warmup = recipe.warmup_epochs
    if warmup is None:
        warmup = round(_warmup_steps(steps) / per_epoch, 4)
    recalibrated = recipe.recalibrate_batchnorm
    if recalibrated is None and recipe.freeze != "trunk":  # a frozen trunk keeps its statistics
        recalibrated = max(RECALIBRATED, RECALIBRATED_BATCHES * batch_size)
    return replace(
        sized,
        learning_rate=recipe.learning_rate or _learning_rate(sized, images, batch_size),
        warmup_epochs=min(warmup, recipe.epochs),
        recalibrate_batchnorm=recalibrated,
    )


def steps_of(recipe: Recipe, images: int) -> int:
    """The number of optimiser steps in the whole training."""
    return _steps(recipe, images, recipe.batch_size or automatic_batch_size(recipe, images))


def _steps(recipe: Recipe, images: int, batch_size: int) -> int:
    per_epoch = max(1, images * recipe.options.passes // min(batch_size, images))
    return max(1, recipe.epochs * per_epoch // recipe.gradient_accumulation)


def describe_adapted(recipe: Recipe, images: int) -> list[str]:
    """Lines on what an adapted recipe trains with, and on problems with it."""
    steps = steps_of(recipe, images)
    # With fewer images than the recipe's batch, a step has them all.
    real = replace(recipe, batch_size=min(recipe.batch_size or images, images), devices=1)
    lines = [
        f"{counted(images, 'photo')}, batch {real.batch_size}, "
        f"{counted(recipe.epochs, 'epoch')}: {counted(steps, 'step')}; {recipe.optimizer}, "
        f"learning rate up to {real.peak_learning_rate:.2g}"
    ]
    if steps < LEAST_STEPS:
        lines.append(
            f"note: {counted(steps, 'step')} are too few to learn much; at least {LEAST_STEPS} are "
            "needed: use a smaller batch_size or more epochs."
        )
    return lines


def automatic_batch_size(recipe: Recipe, images: int) -> int:
    """The batch size if the recipe leaves it open: the largest that leaves enough steps."""
    size = BATCH_SIZES[-1]
    for size in BATCH_SIZES:
        if _steps(recipe, images, size) >= ENOUGH_STEPS:
            break
    # Every device gets the same number.
    return -(-size // recipe.devices) * recipe.devices


def _learning_rate(recipe: Recipe, images: int, batch_size: int) -> float:
    """The learning rate in the recipe's unit: for a batch of 256."""
    batch_size = min(batch_size, images)
    batch = batch_size * recipe.gradient_accumulation
    rate = RATES[recipe.optimizer] * (batch / REFERENCE_BATCH) ** 0.5
    rate = min(rate, HIGHEST_RATES[recipe.optimizer])
    if recipe.weights is not None and has_seen_formulas(recipe.weights):
        rate *= FROM_FORMULAS
        if recipe.optimizer == "sgd" and batch > REFERENCE_BATCH:
            grown = FROM_FORMULAS * RATES["sgd"] * batch / REFERENCE_BATCH
            rate = min(grown, HIGHEST_FROM_FORMULAS)
    elif recipe.weights is not None:
        rate *= FROM_WEIGHTS
    scale = replace(recipe, learning_rate=1.0, batch_size=batch_size, devices=1).peak_learning_rate
    return float(f"{rate / scale:.6g}")


def _warmup_steps(steps: int) -> float:
    least, most = WARMUP_STEPS
    return min(max(WARMUP_PART * steps, least), most, MOST_WARMUP * steps)


def open_fields(recipe: Recipe) -> dict[str, Any]:
    """The fields that `adapted` sets, with their values."""
    return {name: getattr(recipe, name) for name in OPEN}


def earlier(recipe: Recipe) -> dict[str, Any]:
    """Version 0.2's values of the recipe's open fields, for trainings started with that version."""
    rate = {"sgd": 3.2, "adamw": 0.012}[recipe.optimizer]
    constants = {
        "batch_size": 16,
        "learning_rate": rate if recipe.weights is None else rate / 8,
        "warmup_epochs": 1.0,
        "recalibrate_batchnorm": 0,
    }
    return {name: value for name, value in constants.items() if getattr(recipe, name) is None}
