"""The ordinary path of a photo: decoded small, resized, then turned upright."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import decode, decode_image, decode_shrunk
from pplcnet.imaging.orientation import EXIF_ORIENTATION, UPRIGHT
from pplcnet.imaging.preprocessing import Preprocessing
from tests.conftest import draw_image, draw_scene
from tests.image_seeds import encoded, icc_profile
from tests.imaging.libraries import without_libraries

SHRUNK = Preprocessing(image_size=(96, 128), interpolation="shrunk-bilinear")
EXACT = Preprocessing(image_size=(96, 128), interpolation="pillow-bilinear")
SIZE = (804, 607)


@cache
def _photo(size: tuple[int, int] = SIZE) -> Image.Image:
    """Patches of light, with the noise of a camera."""
    noise = np.random.default_rng(0).normal(0, 4, (size[1], size[0], 3))
    pixels = np.asarray(draw_scene(3, size)) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _stored(image: Image.Image, orientation: int) -> Image.Image:
    """As a camera stores it that is held in one of eight ways."""
    undone = {6: 8, 8: 6}.get(orientation, orientation)
    return image.transpose(UPRIGHT[undone]) if orientation != 1 else image


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return exif


def _distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.abs(one.astype(int) - other)


PHOTOS = {
    "JPEG": encoded(_photo(), "JPEG", quality=90),
    "4:4:4": encoded(_photo(), "JPEG", quality=90, subsampling=0),
    "progressive": encoded(_photo(), "JPEG", quality=90, progressive=True),
    "turned": encoded(_stored(_photo(), 6), "JPEG", quality=90, exif=_exif(6)),
    "grey": encoded(_photo().convert("L"), "JPEG", quality=90),
    "CMYK": encoded(_photo().convert("CMYK"), "JPEG", quality=90),
    "profile": encoded(_photo(), "JPEG", quality=90, icc_profile=icc_profile()),
    "PNG": encoded(_photo(), "PNG", compress_level=1),
    "turned PNG": encoded(_stored(_photo(), 6), "PNG", compress_level=1, exif=_exif(6)),
    "WebP": encoded(_photo(), "WEBP", quality=90, method=0),
    "small": encoded(_photo((300, 220)), "JPEG", quality=90),
}


@pytest.mark.parametrize("content", PHOTOS.values(), ids=PHOTOS.keys())
def test_it_is_within_a_few_levels_of_the_exact_path(content: bytes) -> None:
    away = _distance(SHRUNK(content), EXACT(content))
    assert away.mean() < 0.5
    assert away.max() <= 6


@pytest.mark.parametrize("content", PHOTOS.values(), ids=PHOTOS.keys())
def test_without_simplejpeg_the_pixels_are_the_same(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = SHRUNK(content)
    without_libraries(monkeypatch, "simplejpeg")
    np.testing.assert_array_equal(SHRUNK(content), usual)


@pytest.mark.parametrize("content", PHOTOS.values(), ids=PHOTOS.keys())
def test_without_the_faster_resize_they_are_the_same_within_a_level(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cykooz_resizer")
    usual = SHRUNK(content)
    without_libraries(monkeypatch, "cykooz_resizer")
    assert _distance(SHRUNK(content), usual).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_after_the_resize_as_it_would_be_before(orientation: int) -> None:
    """A PNG, whose pixels do not depend on how it is stored."""
    upright = encoded(_photo(), "PNG", compress_level=1)
    stored = encoded(
        _stored(_photo(), orientation), "PNG", compress_level=1, exif=_exif(orientation)
    )
    away = _distance(SHRUNK(stored), SHRUNK(upright))
    # Which of the averaged squares at the border is not whole depends on the side it lies on.
    assert away.mean() < 0.6
    assert SHRUNK.place(stored).geometry == SHRUNK.place(upright).geometry


def test_a_turned_jpeg_goes_through_the_fast_decoder_and_stays_small() -> None:
    pytest.importorskip("simplejpeg")
    decoded = decode_shrunk(PHOTOS["turned"], SHRUNK.divisor)
    assert isinstance(decoded.image, np.ndarray)
    assert decoded.image.shape == (402, 304, 3)
    assert decoded.orientation == 6
    assert decoded.geometry.size == SIZE
    whole = decode_image(PHOTOS["turned"], upright=False)
    assert isinstance(whole.image, np.ndarray)


@pytest.mark.parametrize(
    ("size", "divisor"),
    [((4000, 3000), 8), ((1024, 768), 2), ((500, 375), 1), ((3000, 500), 2), ((90, 70), 1)],
)
def test_two_pixels_are_left_for_each_of_the_inputs(size: tuple[int, int], divisor: int) -> None:
    assert SHRUNK.divisor(size) == divisor


def test_the_divisor_is_chosen_for_the_upright_photo() -> None:
    """A tall input of a photo that was taken upright and is stored lying."""
    seen: list[tuple[int, int]] = []

    def shrink(size: tuple[int, int]) -> int:
        seen.append(size)
        return 1

    upright = decode(PHOTOS["turned"]).size
    decode_image(PHOTOS["turned"], shrink)
    assert seen == [upright]
    assert Image.open(io.BytesIO(PHOTOS["turned"])).size == upright[::-1]


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "turned"])
@pytest.mark.parametrize("library", ["simplejpeg", "Pillow"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_a_cut_jpeg_is_refused_at_any_scale(
    kind: str, library: str, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "Pillow":
        without_libraries(monkeypatch, "simplejpeg")
    content = PHOTOS[kind][: int(len(PHOTOS[kind]) * part)]
    with pytest.raises(ImageError, match="truncated or damaged"):
        SHRUNK(content)


def test_pillow_bilinear_is_still_pillows_own_bit_for_bit() -> None:
    for name in ("JPEG", "turned", "PNG", "small"):
        image = decode(PHOTOS[name])
        width, height = image.size
        scale = max(round(96 / 0.875) / height, round(128 / 0.875) / width)
        scaled = round(width * scale), round(height * scale)
        left, top = (scaled[0] - 128) // 2, (scaled[1] - 96) // 2
        per = width / scaled[0], height / scaled[1]
        box = (left * per[0], top * per[1], (left + 128) * per[0], (top + 96) * per[1])
        expected = image.resize((128, 96), Image.Resampling.BILINEAR, box=box)
        np.testing.assert_array_equal(EXACT(PHOTOS[name]), expected)


def test_an_array_is_reduced_as_a_png_is() -> None:
    pixels = np.asarray(decode(PHOTOS["PNG"]))
    np.testing.assert_array_equal(SHRUNK(pixels), SHRUNK(PHOTOS["PNG"]))
    assert SHRUNK(draw_image(1, 1, (1, 1))).shape == (96, 128, 3)
