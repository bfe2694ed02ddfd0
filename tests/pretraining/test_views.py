"""Views of drawn pictures: deterministic, of every class, coloured, never blank."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.pretraining.pictures import Pictures, draw_all
from pplcnet.pretraining.plan import Amounts
from pplcnet.pretraining.views import draw_views


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return draw_all(Amounts(fractals=4, contours=4, textures=4, each=3, side=48), 0)


def test_views_depend_on_the_generator_alone(pictures: Pictures) -> None:
    first, again = (draw_views(pictures, 8, 32, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.classes, again.classes)
    other = draw_views(pictures, 8, 32, np.random.default_rng(6))
    assert not np.array_equal(first.images, other.images)


@pytest.mark.parametrize("side", [17, 32, 64])
def test_views_have_the_size_asked_for_and_none_is_blank(pictures: Pictures, side: int) -> None:
    views = draw_views(pictures, 64, side, np.random.default_rng(0))
    assert views.images.shape == (64, side, side, 3)
    assert views.images.dtype == np.uint8
    assert views.images.std(axis=(1, 2)).max(axis=1).min() > 2
    assert set(views.classes) == set(range(12))


def test_two_views_of_a_picture_differ_in_place_and_colour(pictures: Pictures) -> None:
    only = Pictures(pictures.grey[:1, :1], 1, pictures.grounds)
    views = draw_views(only, 16, 32, np.random.default_rng(0)).images.astype(float)
    difference = np.abs(views[:, None] - views[None]).mean(axis=(2, 3, 4))
    assert difference[~np.eye(16, dtype=bool)].min() > 5
