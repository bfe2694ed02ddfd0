"""HEIC files: colours, depths, rotation, limits, damage, and what is said without pillow-heif."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.errors import ImageError
from pplcnet.imaging import formats, structure
from pplcnet.imaging import limits as image_limits
from pplcnet.imaging.decoding import decode, decode_image, stated_pixels
from pplcnet.imaging.heif_header import read_heif_header
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.classifier import Classifier
from pplcnet.tasks.audit import audit
from tests.conftest import draw_image
from tests.image_seeds import deep_heic, heic, icc_profile, seeds
from tests.imaging.test_decoding import TRANSPOSED

EXACT = {"quality": -1, "chroma": 444}


def _quarters(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Red, blue; green, white."""
    image = Image.new("RGB", size, "red")
    middle = size[0] // 2, size[1] // 2
    image.paste("blue", (middle[0], 0, *size))
    image.paste("green", (0, middle[1], *size))
    image.paste("white", (*middle, *size))
    return image


def _distance(one: object, other: object) -> int:
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


@pytest.mark.parametrize("orientation", TRANSPOSED)
def test_a_turned_photo_is_turned_upright_exactly_once(orientation: int) -> None:
    stored = _quarters()
    if TRANSPOSED[orientation] is not None:
        stored = stored.transpose(TRANSPOSED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = heic(stored, exif=exif.tobytes(), **EXACT)
    assert (b"irot" in content or b"imir" in content) == (orientation != 1)
    assert _distance(decode(content), _quarters()) <= 2
    # What a person opened with pillow-heif's own plugin is upright already.
    lent = formats.open_heic(content)
    assert _distance(decode(lent), _quarters()) <= 2
    # Geometry is that of the upright image.
    decoded = decode_image(content, upright=False)
    assert (decoded.orientation, decoded.geometry.size) == (1, (64, 48))


def test_exif_alone_turns_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = heic(_quarters(), exif=exif.tobytes(), **EXACT)
    # Viewers go by the box "irot"; with that of no turn, EXIF is left to say 6.
    at = content.index(b"irot") + 4
    content = content[:at] + b"\0" + content[at + 1 :]
    assert _distance(decode(content), _quarters()) <= 2


def test_colours_depths_and_transparency() -> None:
    photo = draw_image(1, 3, (64, 48))
    assert _distance(decode(heic(photo, **EXACT)), photo) <= 2
    assert (
        _distance(decode(heic(photo.convert("L"), **EXACT)), photo.convert("L").convert("RGB")) <= 1
    )
    deep = np.linspace(0, 65535, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint16)
    assert _distance(decode(deep_heic(deep)), deep >> 8) <= 1
    clear = photo.convert("RGBA")
    clear.putalpha(0)
    assert decode(heic(clear)).getpixel((3, 3)) == (255, 255, 255)


def test_a_wide_gamut_is_converted_to_srgb() -> None:
    photo = Image.new("RGB", (64, 48), (200, 30, 20))
    photo.info["icc_profile"] = icc_profile()
    converted = decode(photo)
    assert _distance(converted, photo) > 20
    assert _distance(decode(heic(photo, **EXACT)), converted) <= 3


def test_tiles_and_several_images_give_the_main_image() -> None:
    pytest.importorskip("pillow_heif")
    import pillow_heif

    large = _quarters((150, 100))
    assert decode(heic(large, tile_size=64)).size == (150, 100)
    several = pillow_heif.from_pillow(_quarters())
    several.add_from_pillow(large)
    buffer = io.BytesIO()
    several.save(buffer, primary_index=1)
    image = decode(buffer.getvalue())
    assert image.size == (150, 100)
    assert type(image) is Image.Image  # holds nothing of the file


def test_all_ways_into_the_library_read_it(
    photos: Path, common_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photos / "class_0" / "IMG_1.HEIC"
    path.write_bytes(heic(draw_image(0, 1, (80, 60))))
    dataset = Dataset.open(photos)
    assert path in [image.path for image in dataset.images]
    found = audit(dataset)
    assert not found.faults
    assert (found.facts[path].width, found.facts[path].height) == (80, 60)
    assert Preprocessing(image_size=(32, 32), interpolation="shrunk-bilinear")(path).shape == (
        32,
        32,
        3,
    )
    assert Classifier(common_bundle).predict(path).best.label.startswith("class_")
    assert main(["predict", str(common_bundle), str(path)]) == 0
    assert "IMG_1.HEIC" in capsys.readouterr().out


def _declared(content: bytes, size: tuple[int, int]) -> bytes:
    """The file with another size in every "ispe"."""
    parts = content.split(b"ispe")
    return parts[0] + b"".join(
        b"ispe" + part[:4] + struct.pack(">II", *size) + part[12:] for part in parts[1:]
    )


def test_what_the_file_declares_is_checked_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = heic(_quarters())
    assert stated_pixels(content) == 64 * 48
    with pytest.raises(ImageError, match=r"has 20000x20000 pixels; at most"):
        decode(_declared(content, (20_000, 20_000)))
    with pytest.raises(ImageError, match=r"12000x12000 pixels of a kind that takes .* GB"):
        decode(_declared(content, (12_000, 12_000)))
    monkeypatch.setattr(image_limits, "MAX_MEMORY_BYTES", len(content))
    with pytest.raises(ImageError, match="64x64 pixels of a kind that takes"):
        decode(content)


@pytest.mark.parametrize("tile_size", [0, 64])
def test_parts_far_larger_than_the_image_are_refused(
    tile_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _declared(heic(_quarters((384, 256)), tile_size=tile_size), (32, 32))
    header = read_heif_header(content)
    assert header is not None
    assert header.coded_pixels >= 384 * 256  # by the coded picture, whatever is declared
    monkeypatch.setattr(structure, "SPARE_CODED", 0)
    with pytest.raises(ImageError, match=r"32x32 pixels made of parts with [\d,]+, which takes"):
        decode(content)


def test_the_header_of_any_bytes_is_read_or_refused() -> None:
    generator = np.random.default_rng(0)
    for content in seeds("HEIF").values():
        assert read_heif_header(content) is not None
        for _ in range(100):
            damaged = bytearray(content)
            for at in generator.integers(0, min(len(content), 700), 3):
                damaged[at] = generator.integers(256)
            read_heif_header(bytes(damaged))


def test_truncated_and_damaged_files_are_image_errors() -> None:
    content = heic(draw_image(1, 3, (64, 48)))
    for end in (20, 100, 400, len(content) - 30):
        with pytest.raises(ImageError, match="truncated or damaged"):
            decode(content[:end])


@pytest.mark.parametrize(("kind", "command"), [("HEIF", "pplcnet"), ("AVIF", "pillow>=11.3")])
def test_without_the_library_one_sentence_says_what_to_install(
    kind: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = next(iter(seeds(kind).values()))
    monkeypatch.setattr(formats, "_is_read", lambda each: False)
    with pytest.raises(ImageError) as caught:
        decode(content)
    assert f"which needs a library that is not installed: pip install '{command}" in str(
        caught.value
    )
    assert stated_pixels(content) == 0


def test_without_the_library_a_folder_says_how_to_read_its_files(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_is_read", lambda each: False)
    for name in ("IMG_1.HEIC", "IMG_2.heic", "scan.avif"):
        (photos / "class_0" / name).touch()
    (note,) = Dataset.open(photos).notes
    assert note.startswith("3 files were ignored (2 .heic, 1 .avif); photos end in .bmp, .gif,")
    assert "; to read .heic: pip install 'pplcnet[heic]'" in note
    assert note.endswith("; to read .avif: pip install 'pillow>=11.3'.")
