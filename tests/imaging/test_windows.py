"""Windows cover an image, overlap as asked, and stay inside of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pplcnet.errors import InputError
from pplcnet.imaging.windows import Window, as_array, windows_over


def test_windows_begin_at_multiples_of_the_stride_and_the_last_ends_at_the_edge() -> None:
    found = windows_over((10, 25), (10, 10), (5, 8))
    assert found == [Window(0, 0, 10, 10), Window(8, 0, 18, 10), Window(15, 0, 25, 10)]


def test_a_window_larger_than_the_image_is_the_image() -> None:
    assert windows_over((7, 9), (10, 10), (5, 5)) == [Window(0, 0, 9, 7)]
    assert windows_over((7, 12), (10, 10), (5, 5)) == [Window(0, 0, 10, 7), Window(2, 0, 12, 7)]


def test_an_image_of_one_window_has_one() -> None:
    assert windows_over((64, 96), (64, 96), (32, 48)) == [Window(0, 0, 96, 64)]


@pytest.mark.parametrize("size", [(1, 1), (33, 200), (64, 64), (65, 63), (129, 257)])
@pytest.mark.parametrize("stride", [1, 17, 64])
def test_every_pixel_is_in_a_window_and_every_window_is_inside(
    size: tuple[int, int], stride: int
) -> None:
    covered = np.zeros(size, bool)
    found = windows_over(size, (64, 64), (stride, stride))
    for left, top, right, bottom in found:
        assert 0 <= left < right <= size[1]
        assert 0 <= top < bottom <= size[0]
        assert (bottom - top, right - left) == (min(64, size[0]), min(64, size[1]))
        covered[top:bottom, left:right] = True
    assert covered.all()
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("stride", [0, 65])
def test_a_stride_that_leaves_gaps_or_does_not_move_is_refused(stride: int) -> None:
    with pytest.raises(InputError, match=f"stride of {stride}"):
        windows_over((100, 100), (64, 64), (stride, 64))


def test_an_images_array_has_its_pixels_and_an_array_is_not_copied() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 7, 3), np.uint8)
    np.testing.assert_array_equal(as_array(Image.fromarray(pixels)), pixels)
    assert as_array(pixels) is pixels
