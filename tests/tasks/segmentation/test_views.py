"""Views for a segmenter: pixels and classes change together."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.data.masks import IGNORED
from pplcnet.errors import RecipeError
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.segmentation.options import SegmentationOptions
from pplcnet.tasks.segmentation.targets import resize_nearest
from pplcnet.tasks.segmentation.views import (
    LEAST_LABELLED,
    PADDING,
    random_mask_view,
)
from pplcnet.training.batch_sizes import sizes_of_batches

PLAIN = SegmentationOptions(colour_jitter=0.0)
RECIPE = Recipe(image_size=(48, 64), resize="stretch", options=PLAIN)
SIZE = RECIPE.image_size


def _photo(height: int = 90, width: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A photo whose red value says its class: smooth areas of 4 classes, 40 levels apart."""
    rows, columns = np.mgrid[:height, :width]
    classes = (2 * (rows >= height * 0.4) + (columns >= width * 0.55)).astype(np.uint8)
    photo = np.stack([classes * 40 + 20, classes, 255 - classes], axis=-1).astype(np.uint8)
    return photo, classes


def _views(recipe: Recipe, count: int = 60, photo: tuple[np.ndarray, ...] | None = None):
    image, mask = photo or _photo()
    return [
        random_mask_view(image, mask, SIZE, recipe, np.random.default_rng(at))
        for at in range(count)
    ]


def _agree(pixels: np.ndarray, classes: np.ndarray) -> float:
    """The part of the pixels with a class whose colour is that of the class."""
    inside = classes != IGNORED
    return float((np.abs(pixels[..., 0][inside] - (classes[inside] * 40.0 + 20)) < 20).mean())


@pytest.mark.parametrize("fields", [{}, {"vertical_flip": True, "rotation": 30.0}])
def test_every_pixel_keeps_its_class(fields: dict[str, object]) -> None:
    for pixels, classes in _views(RECIPE.changed(fields)):
        assert (pixels.shape, pixels.dtype) == ((*SIZE, 3), np.uint8)
        assert (classes.shape, classes.dtype) == (SIZE, np.uint8)
        # Bilinear pixels and nearest classes may differ beside a border, nowhere else.
        assert _agree(pixels, classes) > 0.9


def test_without_changes_a_view_is_the_photo_as_evaluation_sees_it() -> None:
    recipe = RECIPE.changed({"scales": (1.0, 1.0), "horizontal_flip": False})
    image, mask = _photo()
    pixels, classes = random_mask_view(image, mask, SIZE, recipe, np.random.default_rng(0))
    np.testing.assert_array_equal(classes, resize_nearest(mask, SIZE))
    assert set(np.unique(classes)) == {0, 1, 2, 3}
    assert pixels[0, 0, 0] == 20


def test_a_photo_smaller_than_the_crop_is_padded_at_the_right_and_below() -> None:
    recipe = RECIPE.changed({"scales": (0.5, 0.5), "horizontal_flip": False})
    pixels, classes = _views(recipe, 1)[0]
    assert (classes[:24, :32] != IGNORED).all()
    assert (classes[24:] == IGNORED).all()
    assert (classes[:, 32:] == IGNORED).all()
    assert (pixels[24:] == PADDING).all()


def test_a_larger_evaluation_size_makes_crops_smaller_parts_of_the_photo() -> None:
    fields = {"scales": (1.0, 1.0), "horizontal_flip": False}
    recipe = RECIPE.changed(fields | {"test_image_size": (96, 128)})
    image, mask = _photo()
    columns = np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], image.shape)
    pixels, _ = random_mask_view(columns, mask, SIZE, recipe, np.random.default_rng(0))
    assert int(pixels[0, -1, 0]) - int(pixels[0, 0, 0]) == pytest.approx(60, abs=2)


def test_a_crop_is_a_part_of_the_input_with_the_same_detail() -> None:
    fields = {"scales": (1.0, 1.0), "horizontal_flip": False, "crop": 0.5, "image_size": (128, 192)}
    recipe = RECIPE.changed(fields)
    assert recipe.size_in_epoch(0) == (64, 96)
    assert sizes_of_batches(recipe) == {(64, 96)}
    image, mask = _photo()
    columns = np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], image.shape)
    pixels, _ = random_mask_view(columns, mask, (64, 96), recipe, np.random.default_rng(0))
    assert pixels.shape == (64, 96, 3)
    assert int(pixels[0, -1, 0]) - int(pixels[0, 0, 0]) == pytest.approx(60, abs=2)


def test_where_evaluation_crops_the_centre_a_view_has_its_scale_and_keeps_the_aspect() -> None:
    fields = {"scales": (1.0, 1.0), "horizontal_flip": False, "crop_fraction": 0.8}
    recipe = RECIPE.changed(fields | {"resize": "cover"})
    image, mask = _photo(100, 400)  # of which evaluation shows 80 x 107 pixels
    for axis, shown in ((0, 80), (1, 106.7)):
        values = np.arange(image.shape[axis]) * (200 / image.shape[axis])
        values = values[:, None] if axis == 0 else values[None]
        ramp = np.repeat(np.broadcast_to(values, mask.shape)[..., None], 3, -1).astype(np.uint8)
        pixels, _ = random_mask_view(ramp, mask, SIZE, recipe, np.random.default_rng(0))
        seen = (int(pixels[-1, -1, 0]) - int(pixels[0, 0, 0])) * image.shape[axis] / 200
        assert seen == pytest.approx(shown, abs=4)


def test_scales_are_drawn_in_steps() -> None:
    fields = {"scales": (0.5, 1.0), "scale_step": 0.25, "horizontal_flip": False}
    wide = {int((classes[0] != IGNORED).sum()) for _, classes in _views(RECIPE.changed(fields), 40)}
    assert wide == {32, 48, 64}
    drawn = _views(RECIPE.changed(fields | {"scale_step": 0.0}), 40)
    assert len({int((classes[0] != IGNORED).sum()) for _, classes in drawn}) > 10


def test_mirror_images_come_half_of_the_time() -> None:
    recipe = RECIPE.changed({"scales": (1.0, 1.0), "vertical_flip": True})
    corners = [int(classes[0, 0]) for _, classes in _views(recipe, 1000)]
    assert all(200 < corners.count(each) < 300 for each in range(4))


def test_a_crop_has_labelled_pixels_where_the_photo_has_some() -> None:
    image, mask = _photo()
    labelled = np.full_like(mask, IGNORED)
    labelled[:45, :60] = mask[:45, :60]
    recipe = RECIPE.changed({"scales": (2.0, 2.0)})
    parts = [(classes != IGNORED).mean() for _, classes in _views(recipe, 60, (image, labelled))]
    assert np.mean(np.asarray(parts) >= LEAST_LABELLED) > 0.95
    nothing = np.full_like(mask, IGNORED)
    assert (_views(recipe, 1, (image, nothing))[0][1] == IGNORED).all()


def test_colours_change_and_classes_do_not() -> None:
    plain, changed = (
        _views(RECIPE.changed({"colour_jitter": jitter, "scales": (1.0, 1.0)}), 20)
        for jitter in (0.0, 0.4)
    )
    for (_, one), (_, other) in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(one, other)
    is_other = [not np.array_equal(a, b) for (a, _), (b, _) in zip(plain, changed, strict=True)]
    assert sum(is_other) > 15


def test_a_recipe_names_what_does_not_go_with_masks() -> None:
    with pytest.raises(RecipeError, match="2 faults") as caught:
        RECIPE.changed({"augment": "randaugment", "dice": 0.7, "lovasz": 0.6})
    assert "at most 1 together with dice" in str(caught.value)
    assert "it moves pixels but not their classes" in str(caught.value)
