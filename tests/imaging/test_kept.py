"""Photos as training keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.imaging.decoding import decode
from pplcnet.imaging.kept import keep_for_crops, kept_side
from pplcnet.imaging.orientation import EXIF_ORIENTATION
from tests.conftest import draw_scene
from tests.image_seeds import encoded


@pytest.mark.parametrize(
    ("image_size", "least_crop", "side"),
    [((224, 224), 0.6, 336), ((96, 160), 0.9, 240), ((100, 100), 0.36, 200), ((64, 64), 0.08, 128)],
)
def test_the_smallest_crop_decides_within_limits(
    image_size: tuple[int, int], least_crop: float, side: int
) -> None:
    assert kept_side(image_size, least_crop) == side


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_is_kept_small_and_upright(kind: str, orientation: int) -> None:
    exif = {EXIF_ORIENTATION: orientation}
    image = draw_scene(2, (900, 610))
    content = encoded(image, kind, exif=_exif(exif))
    kept = keep_for_crops(content, 60)
    width, height = (60, 89) if orientation == 6 else (89, 60)
    assert kept.shape == (height, width, 3)
    exact = decode(content).resize((width, height), resample=2)
    assert np.abs(kept.astype(int) - exact).mean() < 0.6


def _exif(values: dict[int, int]):
    from PIL import Image

    exif = Image.Exif()
    exif.update(values)
    return exif


@pytest.mark.parametrize("size", [(100, 75), (50, 40)])
def test_a_photo_that_is_little_larger_is_kept_as_it_is(size: tuple[int, int]) -> None:
    content = encoded(draw_scene(2, size), "JPEG")
    np.testing.assert_array_equal(keep_for_crops(content, 60), decode(content))
