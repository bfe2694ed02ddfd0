"""Sizes of batches: by seed, epoch and step alone, so that a resumed run draws the same."""

from __future__ import annotations

from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.detection.options import DetectionOptions
from pplcnet.training.batch_sizes import size_of_batch, sizes_of_batches

RECIPE = Recipe(options=DetectionOptions(multi_scale=2), image_size=(320, 320), epochs=3)


def test_every_size_comes_and_no_other() -> None:
    drawn = [size_of_batch(RECIPE, epoch, step) for epoch in range(3) for step in range(40)]
    assert set(drawn) == sizes_of_batches(RECIPE) == {(at, at) for at in range(256, 385, 32)}
    assert drawn == [size_of_batch(RECIPE, epoch, step) for epoch in range(3) for step in range(40)]
    other = RECIPE.changed({"seed": 1})
    assert drawn[:40] != [size_of_batch(other, 0, step) for step in range(40)]


def test_both_sides_change_together() -> None:
    wide = RECIPE.changed({"image_size": [96, 160]})
    assert sizes_of_batches(wide) == {(32, 96), (64, 128), (96, 160), (128, 192), (160, 224)}
    assert min(sizes_of_batches(RECIPE.changed({"image_size": [32, 64]}))) == (32, 32)


def test_after_the_last_epoch_and_without_it_the_size_is_the_recipe_s() -> None:
    assert {size_of_batch(RECIPE, 3, step) for step in range(20)} == {(320, 320)}
    plain = RECIPE.changed({"multi_scale": 0})
    assert {size_of_batch(plain, 0, step) for step in range(20)} == {(320, 320)}
    assert sizes_of_batches(plain) == {(320, 320)}
    grown = plain.changed({"progressive_resizing": 0.5})
    assert sizes_of_batches(grown) == {grown.size_in_epoch(epoch) for epoch in range(3)}
