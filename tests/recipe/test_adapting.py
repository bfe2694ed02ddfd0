"""What a recipe leaves open is chosen by the number of images and steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.recipe.adapting import (
    LEAST_STEPS,
    adapted,
    describe_adapted,
    earlier,
    open_fields,
    steps_of,
)
from pplcnet.recipe.files import named_recipes
from pplcnet.recipe.idle_fields import idle_fields
from pplcnet.recipe.recipe import Recipe

IMAGES = [1, 7, 40, 200, 560, 3_000, 100_000]
BATCHES = [None, 1, 8, 16, 64, 256, 2048]


@pytest.mark.parametrize("images", [1, 40, 560, 100_000])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"epochs": 1, "batch_size": 1},
        {"epochs": 8, "batch_size": 64, "optimizer": "sgd"},
        {"batch_size": 2048, "weights": "imagenet"},
        {"epochs": 2, "learning_rate": 0.5, "gradient_accumulation": 4},
        {"batch_size": 32, "devices": 4, "optimizer": "adamw"},
    ],
    ids=str,
)
def test_nothing_is_open_and_adapting_again_changes_nothing(
    images: int, fields: dict[str, object]
) -> None:
    given = Recipe(**fields)
    recipe = adapted(given, images)
    assert None not in open_fields(recipe).values()
    assert 0 <= recipe.warmup_epochs <= recipe.epochs
    real = recipe.changed({"batch_size": min(recipe.batch_size, images), "devices": 1})
    assert 0 < real.peak_learning_rate < 1
    assert adapted(recipe, images) == recipe
    assert given.changed(open_fields(recipe)) == recipe


def test_what_is_set_is_left_as_it_is() -> None:
    fields = {
        "batch_size": 24, "optimizer": "sgd", "learning_rate": 0.7, "warmup_epochs": 2.5,
        "recalibrate_batchnorm": 0,
    }  # fmt: skip
    assert adapted(Recipe(**fields), 500) == Recipe(**fields)


@pytest.mark.parametrize("name", named_recipes())
def test_every_named_recipe_can_be_adapted(name: str) -> None:
    assert adapted(Recipe.named(name), 500).peak_learning_rate > 0


def test_fewer_images_get_a_smaller_batch() -> None:
    sizes = [adapted(Recipe(epochs=20), images).batch_size for images in IMAGES]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    # Each of three GPUs has to get the same number.
    assert adapted(Recipe(), 500).batch_size % 3 != 0
    assert adapted(Recipe(devices=3), 500).batch_size % 3 == 0


def test_the_rate_grows_slower_than_the_batch_and_only_to_a_limit() -> None:
    rates = [adapted(Recipe(batch_size=batch), 100_000).peak_learning_rate for batch in BATCHES[1:]]
    assert rates == pytest.approx(sorted(rates), rel=1e-4)
    assert rates[2] / rates[1] == pytest.approx(2**0.5, rel=0.01)
    assert rates[-1] == pytest.approx(rates[-2], rel=0.01)
    # With fewer images than a batch of the recipe, steps are as large as the images allow.
    few = adapted(Recipe(batch_size=256), 16)
    assert few.learning_rate * 16 / 256 == pytest.approx(rates[2], rel=0.01)


def test_the_rate_is_the_smaller_the_more_the_start_knows() -> None:
    rates = [
        adapted(Recipe(weights=weights), 500).peak_learning_rate
        for weights in ("imagenet", "fractal", None)
    ]
    assert rates == pytest.approx([0.0125, 0.05, 0.1], rel=1e-3)


def test_from_formulas_the_rate_grows_with_large_batches_themselves() -> None:
    rates = [
        adapted(Recipe(batch_size=batch, weights="fractal"), 100_000).peak_learning_rate
        for batch in (8, 16, 32, 64, 256, 512)
    ]
    assert rates == pytest.approx([0.05 / 2**0.5, 0.05, 0.1, 0.2, 0.8, 0.8], rel=1e-3)


def test_a_file_of_formulas_gets_the_rate_of_the_shipped_backbone(shipped_backbone: Path) -> None:
    rates = [
        adapted(Recipe(weights=weights), 500).peak_learning_rate
        for weights in ("fractal", str(shipped_backbone), "of_photos.npz")
    ]
    assert rates[0] == rates[1] > rates[2]


def test_too_few_steps_are_said_aloud() -> None:
    few = adapted(Recipe(batch_size=256, epochs=8), 560)
    assert steps_of(few, 560) == 16 < LEAST_STEPS
    lines = describe_adapted(few, 560)
    assert "560 photos, batch 256, 8 epochs: 16 steps" in lines[0]
    assert f"at least {LEAST_STEPS}" in lines[1]
    assert len(describe_adapted(adapted(Recipe(epochs=20), 560), 560)) == 1


def test_runs_of_version_0_2_keep_their_rates() -> None:
    of_0_2 = {
        "batch_size": 32, "warmup_epochs": 2.0, "recalibrate_batchnorm": 0, "weights": None,
    }  # fmt: skip
    assert earlier(Recipe(**of_0_2, optimizer="sgd")) == {"learning_rate": 3.2}
    tuned = Recipe(**of_0_2 | {"optimizer": "adamw", "weights": "imagenet"})
    assert earlier(tuned) == {"learning_rate": 0.0015}
    assert earlier(Recipe(**of_0_2, optimizer="sgd", learning_rate=0.1)) == {}
    assert None not in open_fields(Recipe().changed(earlier(Recipe()))).values()


def test_what_is_adapted_for_a_frozen_trunk_has_an_effect() -> None:
    assert idle_fields(adapted(Recipe(weights="x", freeze="trunk"), 100)) == []
