"""Cells of a detector: where they are, and what becomes of their logits."""

from __future__ import annotations

import keras
import numpy as np

from pplcnet.models.boxes import (
    DistancesToBoxes,
    JoinCells,
    JointScore,
    PixelsAsFour,
    cell_places,
)


def test_cells_are_numbered_level_by_level_and_row_by_row() -> None:
    places, strides = map(keras.ops.convert_to_numpy, cell_places(64, 96))
    assert len(places) == len(strides) == 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert places[[0, 1, 12]].tolist() == [[4, 4], [12, 4], [4, 12]]
    assert places[96].tolist() == [8, 8]
    assert places[-2:].tolist() == [[32, 32], [96, 32]]
    assert strides[[0, 95, 96, -1], 0].tolist() == [8, 8, 16, 64]


def test_a_certain_distance_is_its_bin_in_strides() -> None:
    logits = np.zeros((1, 8 * 8 + 4 * 4 + 2 * 2 + 1, 4, 8), "float32")
    logits[..., 0] = 1000  # every distance is 0,
    logits[0, 9] = 0
    for side, bin_ in enumerate((1, 2, 3, 7)):  # but for the second cell of the second row
        logits[0, 9, side, bin_] = 1000
    images = np.zeros((1, 64, 64, 3), "float32")
    boxes = DistancesToBoxes()([logits.reshape(1, -1, 32), images])
    boxes = keras.ops.convert_to_numpy(boxes)[0]
    assert boxes[9].tolist() == [12 - 8, 12 - 16, 12 + 24, 12 + 56]
    assert boxes[0].tolist() == [4, 4, 4, 4]


def test_maps_become_cells_in_their_order() -> None:
    maps = [np.arange(8, dtype="float32").reshape(1, 2, 2, 2), np.full((1, 1, 1, 2), 9, "float32")]
    cells = keras.ops.convert_to_numpy(JoinCells()(maps))
    assert cells.tolist() == [[[0, 1], [2, 3], [4, 5], [6, 7], [9, 9]]]


def test_a_score_is_the_geometric_mean_of_both_probabilities() -> None:
    classes, align = np.array([[[0.0, 30.0]]], "float32"), np.array([[[30.0]]], "float32")
    scores = keras.ops.convert_to_numpy(JointScore()([classes, align]))
    np.testing.assert_allclose(scores, [[[0.5**0.5, 1.0]]], rtol=1e-6)


def test_every_pixel_becomes_four_of_any_size() -> None:
    maps = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype("float32")
    expected = maps.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(PixelsAsFour()(maps)), expected)
    images = keras.Input((None, None, 4))
    model = keras.Model(images, PixelsAsFour()(images))
    assert model.output.shape == (None, None, None, 4)
    np.testing.assert_array_equal(model.predict_on_batch(maps), expected)
