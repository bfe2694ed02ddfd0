"""Pictures drawn by formulas: the same for the same seed, visible, different between classes."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.pretraining import contours, fractals, textures
from pplcnet.pretraining.pictures import draw_all
from pplcnet.pretraining.plan import Amounts

AMOUNTS = Amounts(fractals=6, contours=6, textures=6, each=4, side=48)
FORMULAS = {
    "fractals": (fractals.draw_systems, fractals.draw_pictures),
    "contours": (contours.draw_contours, contours.draw_pictures),
    "textures": (textures.draw_textures, textures.draw_pictures),
}


def test_the_same_seed_draws_the_same_pictures() -> None:
    first, again, other = draw_all(AMOUNTS, 3), draw_all(AMOUNTS, 3), draw_all(AMOUNTS, 4)
    assert np.array_equal(first.grey, again.grey)
    assert np.array_equal(first.grounds, again.grounds)
    assert not np.array_equal(first.grey, other.grey)


def test_textures_fill_their_square_and_shapes_do_not() -> None:
    pictures = draw_all(AMOUNTS, 0)
    assert pictures.shapes == AMOUNTS.fractals + AMOUNTS.contours
    is_drawn = pictures.grey > 0
    assert is_drawn[pictures.shapes :].all()
    shares = is_drawn[: pictures.shapes].mean(axis=(2, 3))
    assert shares.min() > 0.03
    assert shares.max() < 0.95


@pytest.mark.parametrize("formula", FORMULAS)
def test_pictures_of_a_class_vary_and_none_is_blank(formula: str) -> None:
    draw_classes, draw_pictures = FORMULAS[formula]
    generator = np.random.default_rng(1)
    drawn = draw_pictures(draw_classes(8, generator), 5, 48, generator)
    assert drawn.shape == (8, 5, 48, 48)
    assert drawn.std(axis=(2, 3)).min() > 5
    assert all(len(np.unique(each.reshape(5, -1), axis=0)) == 5 for each in drawn)


@pytest.mark.parametrize("formula", ["fractals", "contours"])
def test_pictures_are_nearer_to_their_own_class_than_to_others(formula: str) -> None:
    draw_classes, draw_pictures = FORMULAS[formula]
    generator = np.random.default_rng(1)
    drawn = draw_pictures(draw_classes(12, generator), 8, 24, generator) > 0
    halves = [half.mean(axis=1).reshape(12, -1) for half in (drawn[:, :4], drawn[:, 4:])]
    distances = np.linalg.norm(halves[0][:, None] - halves[1][None], axis=2)
    nearest = distances.argmin(axis=1)
    assert (nearest == np.arange(12)).mean() > 0.8


def test_all_maps_of_a_system_are_contractions() -> None:
    systems = fractals.draw_systems(40, np.random.default_rng(0))
    largest = np.linalg.svd(systems.linear, compute_uv=False).max()
    assert largest <= fractals.LARGEST_SINGULAR_VALUE + 1e-6
    assert set(np.unique(systems.maps)) <= set(range(fractals.MAPS[0], fractals.MAPS[1] + 1))
    assert len(systems.maps) == 40
