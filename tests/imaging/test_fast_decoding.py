"""The faster decoders and resizes: the same pixels where that is promised, near ones where not."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from pplcnet.errors import ImageError, InputError
from pplcnet.imaging.decoding import decode, decode_image
from pplcnet.imaging.orientation import EXIF_ORIENTATION
from pplcnet.imaging.preprocessing import Preprocessing
from tests.conftest import draw_image
from tests.imaging.libraries import without_libraries


def _jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _photos() -> Iterator[tuple[str, bytes]]:
    image = draw_image(1, 3, (301, 203))
    rotated = Image.Exif()
    rotated[EXIF_ORIENTATION] = 6
    yield "4:2:0", _jpeg(image, quality=85)
    yield "4:4:4", _jpeg(image, quality=85, subsampling=0)
    yield "progressive", _jpeg(image, progressive=True)
    yield "rotated", _jpeg(image, exif=rotated)
    yield "grey", _jpeg(image.convert("L"))
    yield "CMYK", _jpeg(image.convert("CMYK"))
    yield "one pixel", _jpeg(image.resize((1, 1)))


@pytest.mark.parametrize("content", [pytest.param(each, id=name) for name, each in _photos()])
@pytest.mark.parametrize("at_least", [None, 40])
def test_simplejpeg_gives_pillows_pixels(
    content: bytes, at_least: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    fast = np.asarray(decode(content, at_least=at_least))
    without_libraries(monkeypatch, "simplejpeg")
    np.testing.assert_array_equal(fast, np.asarray(decode(content, at_least=at_least)))


def test_an_ordinary_jpeg_goes_through_simplejpeg() -> None:
    pytest.importorskip("simplejpeg")
    assert isinstance(decode_image(_jpeg(draw_image(1, 1))).image, np.ndarray)


@pytest.mark.parametrize("library", ["simplejpeg", "Pillow"])
def test_a_cut_jpeg_is_refused_by_both(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "Pillow":
        without_libraries(monkeypatch, "simplejpeg")
    content = _jpeg(draw_image(1, 3, (300, 200)))
    with pytest.raises(ImageError, match="truncated or damaged"):
        decode(content[: len(content) // 2])


@pytest.mark.parametrize(("size", "side"), [((1200, 900), 150), ((640, 480), 240), ((90, 70), 70)])
def test_a_shrunk_jpeg_keeps_the_pixels_that_are_asked_for(
    size: tuple[int, int], side: int
) -> None:
    image = decode(_jpeg(draw_image(1, 3, size)), at_least=side)
    assert side <= min(image.size) < max(2 * side, min(size) + 1)
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.02)


def _smooth(size: tuple[int, int]) -> Image.Image:
    """An image without noise, which any sensible resize leaves much the same."""
    return draw_image(1, 3, (24, 18)).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(1200, 900), (500, 375), (375, 500), (100, 80)])
@pytest.mark.parametrize("without", [(), ("cv2",), ("simplejpeg",), ("cv2", "simplejpeg")])
def test_the_fast_policy_gives_near_pixels_with_any_library(
    size: tuple[int, int], without: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _jpeg(_smooth(size), quality=95)
    exact = Preprocessing(image_size=(96, 128))(content).astype(int)
    without_libraries(monkeypatch, *without)
    fast = Preprocessing(image_size=(96, 128), policy="fast")(content)
    assert fast.shape == (96, 128, 3)
    assert fast.flags.c_contiguous
    assert np.abs(fast.astype(int) - exact).mean() < 2.5


@pytest.mark.parametrize(
    ("size", "divisor"), [((500, 375), 1), ((1000, 750), 2), ((4000, 3000), 8), ((100, 80), 1)]
)
def test_the_fast_policy_decodes_no_more_than_it_needs(size: tuple[int, int], divisor: int) -> None:
    assert Preprocessing(image_size=(224, 224), policy="fast").divisor(size) == divisor


def test_without_opencv_its_bilinear_is_the_same_within_a_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("cv2")
    image = draw_image(1, 3, (500, 375))
    policy = Preprocessing(image_size=(224, 224), interpolation="opencv-bilinear")
    with_opencv = policy(image).astype(int)
    without_libraries(monkeypatch, "cv2")
    assert np.abs(policy(image).astype(int) - with_opencv).max() <= 1


def test_a_policy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="allowed are exact and fast"):
        Preprocessing(image_size=(8, 8), policy="quick")
