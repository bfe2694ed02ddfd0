"""Boxes and masks in a network's input find their way back to the image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pplcnet.imaging import resizing
from pplcnet.imaging.geometry import UNKNOWN, Geometry
from pplcnet.imaging.orientation import EXIF_ORIENTATION, UPRIGHT
from pplcnet.imaging.preprocessing import IMAGENET_MEAN, Preprocessing
from tests.conftest import draw_image
from tests.imaging.libraries import without_libraries

RESIZES = ("cover", "stretch", "fit")
POLICIES = [
    {"interpolation": "pillow-bilinear"},
    {"interpolation": "pillow-bicubic"},
    {"interpolation": "opencv-bilinear"},
    {"interpolation": "opencv-bicubic"},
    {"interpolation": "shrunk-bilinear"},
    {"policy": "fast"},
]


def _with_rectangle(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", size)
    image.paste((255, 255, 255), box)
    return image


def _find_rectangle(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(1, 4): the borders of the one bright rectangle, to fractions of a pixel."""
    grey = pixels[:, :, 0].astype(float)
    grey[grey < 25] = 0
    ends = []
    for axis in (0, 1):
        profile = grey.max(axis=axis) / 255
        centre = np.average(np.arange(len(profile)) + 0.5, weights=profile)
        ends.append((centre - profile.sum() / 2, centre + profile.sum() / 2))
    (left, right), (top, bottom) = ends
    return np.array([[left, top, right, bottom]], np.float32)


def _jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    """The image as a camera stores it that is held in one of eight ways."""
    if orientation in UPRIGHT:
        undone = {6: 8, 8: 6}.get(orientation, orientation)
        image = image.transpose(UPRIGHT[undone])
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("options", POLICIES, ids=lambda each: "-".join(each.values()))
@pytest.mark.parametrize("size", [(150, 101), (101, 150), (61, 50)])
@pytest.mark.parametrize("library", ["fast ones", "Pillow"])
def test_a_rectangle_is_found_again(
    resize: str,
    options: dict,
    size: tuple[int, int],
    library: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if library == "Pillow":
        without_libraries(monkeypatch, "cv2", "cykooz_resizer")
    box = (size[0] // 2 - 15, size[1] // 2 - 12, size[0] // 2 + 9, size[1] // 2 + 18)
    preprocessing = Preprocessing(image_size=(80, 96), resize=resize, **options)
    placed = preprocessing.place(_with_rectangle(size, box))
    assert placed.geometry.size == size
    if resize == "fit":  # the padding is no part of what is looked for
        height, width = np.rint(np.multiply(size, placed.geometry.scale)).astype(int)[::-1]
        placed.pixels[height:], placed.pixels[:, width:] = 0, 0
    back = placed.geometry.boxes_back(_find_rectangle(placed.pixels))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, [box], atol=1)


@pytest.mark.parametrize("library", ["simplejpeg", "Pillow"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("options", "side"),
    [({"policy": "fast"}, 99), ({"interpolation": "shrunk-bilinear"}, 49)],
    ids=["fast", "shrunk"],
)
def test_a_rectangle_in_a_shrunk_and_turned_jpeg_is_found_again(
    options: dict, side: int, orientation: int, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 1/8, the last block of these sizes is stored for a few pixels alone."""
    if library == "Pillow":
        without_libraries(monkeypatch, "simplejpeg", "cykooz_resizer")
    size, box = (801, 797), (301, 210, 520, 487)
    preprocessing = Preprocessing(image_size=(side, side), resize="stretch", **options)
    assert preprocessing.divisor(size) == 8
    placed = preprocessing.place(_jpeg(_with_rectangle(size, box), orientation))
    assert placed.geometry.size == size
    back = placed.geometry.boxes_back(_find_rectangle(placed.pixels))
    np.testing.assert_allclose(back, [box], atol=2)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("options", POLICIES, ids=lambda each: "-".join(each.values()))
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("size", [(150, 101), (640, 427)])
def test_a_mask_lies_on_the_image_again(
    resize: str, options: dict, orientation: int, size: tuple[int, int]
) -> None:
    width, height = size
    box = (round(width * 0.4), round(height * 0.4), round(width * 0.6), round(height * 0.7))
    image = _with_rectangle(size, box)
    place = Preprocessing(image_size=(80, 96), resize=resize, **options).place
    placed = place(_jpeg(image, orientation))
    mask = placed.geometry.mask_back((placed.pixels[:, :, 0] > 127).astype(np.uint8))
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    expected = np.asarray(image)[:, :, 0] > 127
    is_known = mask != UNKNOWN
    # An input pixel is some image pixels wide; no more than that is wrong along the border.
    coarse = 1 + 1 / min(placed.geometry.scale)
    border = 2 * (box[2] - box[0] + box[3] - box[1]) * coarse
    assert ((mask == 1) != expected)[is_known].sum() <= border / 2
    if resize == "cover":
        x0, y0, x1, y1 = placed.geometry.boxes_back(np.array([[0, 0, 96, 80]], np.float32))[0]
        assert is_known.sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.03)
        assert not is_known.all()
    else:
        assert is_known.all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("options", POLICIES, ids=lambda each: "-".join(each.values()))
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 40_000), (40_000, 3)])
def test_lines_of_pixels_have_a_geometry_too(
    resize: str, options: dict, size: tuple[int, int]
) -> None:
    placed = Preprocessing(image_size=(24, 32), resize=resize, **options).place(
        Image.new("RGB", size, (10, 200, 30))
    )
    geometry = placed.geometry
    assert placed.pixels.shape == (24, 32, 3)
    assert geometry.size == size
    mask = geometry.mask_back(np.ones((24, 32), np.uint8))
    assert mask.shape == size[::-1]
    if resize != "cover":  # which may see less than one pixel
        assert (mask == 1).all()
        filled = np.multiply(size, geometry.scale)
        back = geometry.boxes_back(np.array([[0, 0, *filled]], np.float32))
        np.testing.assert_allclose(back, [[0, 0, *size]], rtol=1e-6)


@pytest.mark.parametrize("interpolation", ["pillow-bilinear", "shrunk-bilinear"])
def test_a_line_that_is_shortened_before_it_is_filtered(
    interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resizing, "MAX_FILTERED_SIDE", 1000)
    image, box = (8195, 12), (2000, 3, 5000, 9)
    placed = Preprocessing(
        image_size=(12, 900), resize="stretch", interpolation=interpolation
    ).place(_with_rectangle(image, box))
    assert placed.geometry.size == image
    back = placed.geometry.boxes_back(_find_rectangle(placed.pixels))
    np.testing.assert_allclose(back, [box], atol=3)


def test_fit_shows_the_whole_image_at_the_corner_and_pads_with_the_mean() -> None:
    image = draw_image(1, 3, (120, 60))
    place = Preprocessing(image_size=(50, 40), resize="fit").place
    wide, tall = place(image), place(image.transpose(Image.Transpose.ROTATE_90))
    assert wide.geometry == Geometry((120, 60), (1 / 3, 1 / 3), (0.0, 0.0))
    expected = image.resize((40, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(wide.pixels[:20], expected)
    assert (wide.pixels[20:] == np.rint(np.multiply(IMAGENET_MEAN, 255))).all()
    padding = Preprocessing(image_size=(50, 40)).normalize(wide.pixels[20:])
    assert np.abs(padding).max() < 0.01
    assert (tall.pixels[:, 25:] == wide.pixels[-1, -1]).all()


def test_a_small_image_is_scaled_up_to_fit() -> None:
    placed = Preprocessing(image_size=(40, 40), resize="fit").place(draw_image(0, 0, (10, 5)))
    assert placed.geometry.scale == (4.0, 4.0)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("options", POLICIES, ids=lambda each: "-".join(each.values()))
def test_calling_gives_the_placed_pixels(resize: str, options: dict) -> None:
    one = Preprocessing(image_size=(40, 56), resize=resize, **options)
    for image in (draw_image(1, 3, (301, 203)), _jpeg(draw_image(1, 4, (801, 603)), 6)):
        np.testing.assert_array_equal(one(image), one.place(image).pixels)


def test_grey_and_arrays_have_the_same_geometry() -> None:
    image = draw_image(1, 3, (301, 203))
    place = Preprocessing(image_size=(40, 56), resize="fit").place
    expected = place(image).geometry
    grey = image.convert("L")
    for each in (_jpeg(image), _jpeg(grey), grey, np.asarray(grey), np.asarray(image)):
        assert place(each).geometry == expected


def test_boxes_are_clipped_to_the_image() -> None:
    geometry = Geometry((100, 50), (0.5, 0.5), (0.0, 10.0))
    boxes = np.array([[-9, 5, 20, 90], [5, 40, 45, 60], [10, 15, 20, 25]], np.float32)
    expected = [[0, 0, 40, 50], [10, 50, 90, 50], [20, 10, 40, 30]]
    np.testing.assert_array_equal(geometry.boxes_back(boxes), np.array(expected, np.float32))
    assert geometry.boxes_back(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_a_mask_is_filled_where_the_network_did_not_look() -> None:
    geometry = Geometry((8, 4), (0.5, 0.5), (-1.0, 0.0))
    classes = np.array([[1, 2], [3, 4]], np.uint8)
    row = [9, 9, 1, 1, 2, 2, 9, 9]
    below = [9, 9, 3, 3, 4, 4, 9, 9]
    found = geometry.mask_back(classes, fill=9)
    np.testing.assert_array_equal(found, [row, row, below, below])
    assert geometry.mask_back(classes)[0, 0] == UNKNOWN
