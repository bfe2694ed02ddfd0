"""A class for each pixel: as enlarging all logits gives it, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.imaging.geometry import UNKNOWN, Geometry
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks.segmentation.class_maps import class_map, logits_of_rows
from pplcnet.tasks.segmentation.resizing import resize


def _smooth(generator: np.random.Generator, height: int, width: int, classes: int) -> np.ndarray:
    """Logits of regions, as networks give them, with borders and noise."""
    coarse = generator.standard_normal((4, 5, classes)).astype(np.float32)
    noise = generator.standard_normal((height, width, classes)).astype(np.float32)
    return 5 * resize(coarse, (height, width)) + 0.3 * noise


@pytest.mark.parametrize("classes", [1, 2, 19])
@pytest.mark.parametrize(
    ("cells", "input_size", "photo"),
    [
        ((8, 16), (64, 128), (64, 128)),
        ((9, 13), (65, 97), (200, 31)),
        ((16, 16), (128, 128), (50, 70)),
        ((1, 1), (8, 8), (5, 7)),
        ((1, 6), (8, 48), (11, 300)),
    ],
)
def test_it_is_the_argmax_of_the_enlarged_logits(
    cells: tuple[int, int], input_size: tuple[int, int], photo: tuple[int, int], classes: int
) -> None:
    generator = np.random.default_rng(classes)
    for kind in ("smooth", "noise"):
        logits = (
            _smooth(generator, *cells, classes)
            if kind == "smooth"
            else generator.standard_normal((*cells, classes)).astype(np.float32)
        )
        geometry = Preprocessing(input_size, "stretch").geometry_of(photo[::-1])
        whole = resize(logits, photo)
        best = np.sort(whole, axis=2)
        # What two computations of equal logits give may differ.
        is_clear = best[..., -1] - best[..., -2] > 1e-4 if classes > 1 else np.ones(photo, np.bool_)
        found = class_map(logits, geometry, input_size)
        assert found.dtype == np.uint8
        assert is_clear.mean() > 0.99
        np.testing.assert_array_equal(found[is_clear], whole.argmax(axis=2)[is_clear])
        rows = logits_of_rows(logits, geometry, input_size, range(photo[0]))
        np.testing.assert_allclose(rows, whole, rtol=0, atol=1e-4)


def test_a_third_class_may_win_between_two_others() -> None:
    logits = np.float32([[[1, 0, 0.9], [0, 1, 0.9]]])
    found = class_map(logits, Geometry((10, 1), (0.8, 8.0)), (8, 8))
    assert set(found[0].tolist()) == {0, 1, 2}


def test_what_a_crop_leaves_out_is_unknown() -> None:
    preprocessing = Preprocessing((16, 16), "cover", crop_fraction=0.5)
    geometry = preprocessing.geometry_of((40, 20))
    found = class_map(np.zeros((2, 2, 3), np.float32), geometry, (16, 16))
    assert found.shape == (20, 40)
    seen = np.argwhere(found != UNKNOWN)
    assert (seen.min(0).tolist(), seen.max(0).tolist()) == ([5, 15], [14, 24])


def test_padding_of_a_fit_is_cut_off() -> None:
    geometry = Preprocessing((16, 16), "fit").geometry_of((40, 20))
    logits = np.zeros((2, 2, 2), np.float32)
    logits[1, :, 1] = 9  # the padding
    found = class_map(logits, geometry, (16, 16))
    assert found.shape == (20, 40)
    assert found[0].max() == 0


def test_probabilities_of_rows_do_not_depend_on_their_number() -> None:
    generator = np.random.default_rng(4)
    logits = generator.standard_normal((5, 6, 3)).astype(np.float32)
    geometry = Geometry((30, 20), (1.6, 2.0))
    whole = logits_of_rows(logits, geometry, (40, 48), range(20))
    part = logits_of_rows(logits, geometry, (40, 48), range(7, 12))
    np.testing.assert_array_equal(part, whole[7:12])
