"""The one preprocessing: what part of an image the network sees, and at which values."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.errors import InputError
from pplcnet.imaging import opencv_resizing, resizing
from pplcnet.imaging.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tests.conftest import draw_image


def test_cover_equals_resizing_everything_and_cutting_the_centre_out() -> None:
    decoded = draw_image(1, 3, (500, 375))
    short = decoded.resize((round(500 * 256 / 375), 256), Image.Resampling.BILINEAR)
    left, top = (short.width - 224) // 2, (256 - 224) // 2
    expected = np.asarray(short.crop((left, top, left + 224, top + 224))).astype(int)
    found = Preprocessing(image_size=(224, 224))(decoded).astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    ("drawn", "size"), [((500, 375), 224), ((375, 500), 160), ((90, 70), 224), ((1200, 300), 96)]
)
def test_opencv_bilinear_equals_opencv_within_a_level(drawn: tuple[int, int], size: int) -> None:
    """Against the pipeline of the official weights: short side, round, cut the centre out."""
    cv2 = pytest.importorskip("cv2")
    image = draw_image(1, 3, drawn)
    short = round(size / 0.875)
    scale = short / min(drawn)
    width, height = round(drawn[0] * scale), round(drawn[1] * scale)
    resized = cv2.resize(np.asarray(image), (width, height), interpolation=cv2.INTER_LINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    expected = resized[top : top + size, left : left + size].astype(int)
    ours = Preprocessing(image_size=(size, size), interpolation="opencv-bilinear")(image)
    assert np.abs(ours.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(500, 375), (90, 70), (320, 320), (1, 5)])
@pytest.mark.parametrize("resize", ["stretch", "cover", "fit"])
def test_opencv_bicubic_without_opencv_equals_it_within_a_level(
    size: tuple[int, int], resize: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    ours = Preprocessing(image_size=(96, 128), resize=resize, interpolation="opencv-bicubic")
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    expected = ours(noise).astype(int)
    monkeypatch.setattr(opencv_resizing, "optional_module", lambda name: None)
    found = ours(noise).astype(int)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.05


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_opencv_bicubic_gives_the_pixels_that_detectors_are_measured_on(
    shared: Path, name: str
) -> None:
    pytest.importorskip("cv2")
    folder = shared / "reference/picodet/xs_320_coco"
    with np.load(folder / "golden_photos.npz") as golden:
        expected = golden[f"{name}:resized_rgb"]
    ours = Preprocessing(image_size=(320, 320), resize="stretch", interpolation="opencv-bicubic")
    np.testing.assert_array_equal(ours(folder / f"photos/{name}.png"), expected)


@pytest.mark.parametrize("size", [(64, 48), (33, 47), (1, 1), (80, 160)])
@pytest.mark.parametrize("drawn", [(500, 375), (40, 300), (7, 5), (1, 1)])
@pytest.mark.parametrize("resize", ["cover", "stretch"])
def test_any_image_gets_the_networks_size(
    size: tuple[int, int], drawn: tuple[int, int], resize: str
) -> None:
    pixels = Preprocessing(image_size=size, resize=resize)(draw_image(0, 0, drawn))
    assert pixels.shape == (*size, 3)
    assert pixels.dtype == np.uint8


def test_stretch_keeps_the_borders_and_cover_the_aspect() -> None:
    decoded = Image.new("RGB", (300, 100), "black")
    decoded.paste((255, 255, 255), (0, 0, 30, 100))
    stretched = Preprocessing(image_size=(50, 50), resize="stretch")(decoded)
    assert stretched[25, 1, 0] == 255
    covered = Preprocessing(image_size=(50, 50), crop_fraction=1.0)(decoded)
    assert covered.max() == 0


def test_normalisation_is_that_of_the_weights() -> None:
    images = np.array([[[[0, 128, 255]]]], np.uint8)
    expected = (images / 255 - IMAGENET_MEAN) / IMAGENET_STD
    found = Preprocessing(image_size=(1, 1)).normalize(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_it_survives_json() -> None:
    one = Preprocessing(image_size=(80, 160), resize="stretch", interpolation="pillow-bicubic")
    assert Preprocessing.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(
    "values",
    [
        {"image_size": (0, 5)},
        {"image_size": (5, 5000)},
        {"image_size": (5, 5), "resize": "pad"},
        {"image_size": (5, 5), "crop_fraction": 0.0},
        {"image_size": (5, 5), "interpolation": "nearest"},
        {"image_size": (5, 5), "std": (1, 0, 1)},
        {"image_size": (5, 5), "colour": "BGR"},
        {"image_size": ["a", 5]},
        {"image_size": 5},
        {},
    ],
)
def test_wrong_values_are_refused(values: dict) -> None:
    with pytest.raises(InputError):
        Preprocessing.from_dict(values)


@pytest.mark.parametrize("size", [(40_000, 1), (1, 40_000)])
@pytest.mark.parametrize("policy", ["exact", "fast"])
def test_an_image_of_a_line_of_pixels_needs_little_memory(
    size: tuple[int, int], policy: str
) -> None:
    preprocessing = Preprocessing(
        image_size=(224, 224), interpolation="opencv-bilinear", policy=policy
    )
    decoded = Image.new("RGB", size, (10, 200, 30))
    tracemalloc.start()
    try:
        pixels = preprocessing(decoded)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert (pixels == (10, 200, 30)).all()


def test_a_line_of_pixels_is_shortened_before_it_is_filtered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = draw_image(1, 3, (8192, 2))
    stretch = Preprocessing(image_size=(8, 8), resize="stretch")
    expected = stretch(line).astype(int)
    monkeypatch.setattr(resizing, "MAX_FILTERED_SIDE", 1000)
    filtered: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def watched(image: Image.Image, *given: object, **options: object) -> Image.Image:
        filtered.append(image.size)
        return resize(image, *given, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    assert np.abs(stretch(line) - expected).max() <= 2
    assert filtered == [(911, 2)]


@pytest.mark.parametrize("resize", ["cover", "stretch", "fit"])
@pytest.mark.parametrize("interpolation", ["shrunk-bilinear", "pillow-bilinear", "opencv-bilinear"])
@pytest.mark.parametrize("size", [(301, 200), (90, 517), (64, 64)])
def test_the_geometry_of_a_size_is_that_of_a_photo_of_this_size(
    resize: str, interpolation: str, size: tuple[int, int]
) -> None:
    preprocessing = Preprocessing((64, 96), resize=resize, interpolation=interpolation)
    placed = preprocessing.place(Image.new("RGB", size)).geometry
    computed = preprocessing.geometry_of(size)
    assert computed.size == placed.size
    np.testing.assert_allclose([*computed.scale, *computed.offset], [*placed.scale, *placed.offset])
