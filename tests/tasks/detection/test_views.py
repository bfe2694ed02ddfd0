"""Views for a detector: pixels and boxes change together."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.imaging.colour_changes import change_colour
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.detection.options import DetectionOptions
from pplcnet.tasks.detection.views import crop_with_object, random_box_view

RECIPE = Recipe(
    options=DetectionOptions(colour_changes=False),
    image_size=(320, 320),
    crop_scale=(0.09, 1.0),
    crop_ratio=(0.5, 2.0),
)
WHOLE = RECIPE.changed({"crop_scale": [1.0, 1.0]})
NONE = [0, 0, 0, 0, -1]


def _photo(*boxes: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """White rectangles on black, and the target: their parts of the photo."""
    photo = np.zeros((240, 300, 3), np.uint8)
    for left, top, right, bottom in boxes:
        photo[top:bottom, left:right] = 255
    rows = [[x / 300, y / 240, right / 300, bottom / 240, at]
            for at, (x, y, right, bottom) in enumerate(boxes)]  # fmt: skip
    return photo, np.array([*rows, NONE], np.float32)


@pytest.mark.parametrize("size", [(320, 320), (256, 352)])
def test_boxes_stay_around_what_they_were_drawn_around(size: tuple[int, int]) -> None:
    photo, target = _photo((60, 40, 150, 180))
    mirrored, cropped = 0, 0
    for seed in range(60):
        pixels, found = random_box_view(photo, target, size, RECIPE, np.random.default_rng(seed))
        assert (pixels.shape, pixels.dtype) == ((*size, 3), np.uint8)
        assert found.shape == target.shape
        assert found[:, 4].tolist() == [0, -1]
        rows, columns = np.nonzero(pixels[..., 0] > 127)
        seen = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        np.testing.assert_allclose(found[0, :4], seen, atol=2.5)
        share = (found[0, 2] - found[0, 0]) * (found[0, 3] - found[0, 1]) / (size[0] * size[1])
        cropped += share > 1.2 * (90 * 140) / (300 * 240)
        mirrored += found[0, 0] > size[1] - found[0, 2]
    assert 10 < mirrored < 50
    assert cropped > 30


def test_a_crop_holds_the_centre_of_an_object() -> None:
    boxes = np.array([[10, 10, 60, 60], [200, 150, 290, 230]], np.float32)
    sizes = []
    for seed in range(200):
        left, top, right, bottom = crop_with_object(
            boxes, np.float32([300, 240]), RECIPE, np.random.default_rng(seed)
        )
        assert 0 <= left < right <= 300
        assert 0 <= top < bottom <= 240
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        assert ((centres >= [left, top]) & (centres <= [right, bottom])).all(axis=1).any()
        sizes.append((right - left) * (bottom - top) / (300 * 240))
    assert min(sizes) < 0.2
    assert max(sizes) == 1


def test_objects_whose_centre_is_cropped_away_are_dropped_and_others_clipped() -> None:
    photo, target = _photo((0, 0, 40, 40), (100, 80, 280, 230))
    counts = set()
    for seed in range(60):
        _, found = random_box_view(photo, target, (320, 320), RECIPE, np.random.default_rng(seed))
        kept = found[found[:, 4] >= 0]
        counts.add(tuple(kept[:, 4].astype(int)))
        assert (kept[:, :4] >= 0).all()
        assert (kept[:, :4] <= 320).all()
        assert (kept[:, 2:4] > kept[:, :2]).all()
        assert found[len(kept) :].tolist() == [NONE] * (3 - len(kept))
    assert {(0,), (1,), (0, 1)} >= counts > {(1,)}


def test_a_photo_without_objects_is_shown_whole() -> None:
    photo, target = _photo()
    photo[:, -1] = photo[-1] = photo[:, 0] = photo[0] = 200
    for seed in range(20):
        pixels, found = random_box_view(
            photo, target, (240, 300), RECIPE, np.random.default_rng(seed)
        )
        assert (pixels[[0, -1]] == 200).all()
        assert (pixels[:, [0, -1]] == 200).all()
        assert found.tolist() == [NONE]


def test_text_is_not_mirrored_where_the_recipe_says_so() -> None:
    photo, target = _photo((60, 40, 150, 180))
    recipe = WHOLE.changed({"horizontal_flip": False})
    places = [
        random_box_view(photo, target, (320, 320), recipe, np.random.default_rng(seed))[1][0]
        for seed in range(20)
    ]
    np.testing.assert_allclose(places, [[64, 40 * 320 / 240, 160, 240, 0]] * 20, rtol=1e-6)


def test_the_same_draws_give_the_same_view() -> None:
    photo, target = _photo((60, 40, 150, 180))
    photo = photo // 2 + np.random.default_rng(0).integers(0, 99, photo.shape, np.uint8)
    recipe = RECIPE.changed({"colour_changes": True})
    one, other, third = (
        random_box_view(photo, target, (320, 320), recipe, np.random.default_rng(seed))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert not np.array_equal(one[0], third[0])


def test_colours_change_and_places_do_not() -> None:
    photo = np.zeros((8, 12, 3), np.uint8)
    photo[:, :6] = 90, 160, 60
    changed = [change_colour(photo, np.random.default_rng(seed)) for seed in range(80)]
    assert all((each == each[:, :1]).all(axis=(0, 2))[:6].all() for each in changed)
    first = np.array([each[0, 0] for each in changed], int)
    spread = first.max(0) - first.min(0)
    assert (spread > 60).all()
    hues = first.argmax(1)
    assert (hues == 1).mean() > 0.8  # a hue shift of 18 of 256 leaves green the strongest
    assert any(np.array_equal(each, photo) for each in changed)
