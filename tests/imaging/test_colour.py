"""Grey levels, transparency and colour profiles become the 8-bit sRGB that a viewer shows."""

from __future__ import annotations

import io
import struct
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageCms

from pplcnet.errors import ImageError
from pplcnet.imaging import acceleration
from pplcnet.imaging import colour as image_colour
from pplcnet.imaging import profiles as image_profiles
from pplcnet.imaging.decoding import decode, decode_image
from tests.conftest import draw_image
from tests.image_seeds import encoded, icc_profile, png, seeds, tiff

PURPLE, BLUE, WHITE = (255, 0, 255), (0, 0, 255), (255, 255, 255)
WIDE = icc_profile()


def _greys(content: bytes) -> list[int]:
    return np.asarray(decode(content))[0, :, 0].tolist()


def _packed_12_bit(*values: int) -> bytes:
    return int("".join(f"{value:012b}" for value in values), 2).to_bytes(
        len(values) * 3 // 2, "big"
    )


def test_12_bit_grey_has_white_at_4095() -> None:
    data = _packed_12_bit(4095, 2048, 0, 1024)
    assert _greys(tiff(data, {256: 4, 257: 1, 258: 12, 262: 1})) == [255, 128, 0, 64]


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_white_is_zero_is_inverted_at_every_depth(bits: int) -> None:
    black, white = (1 << bits) - 1, 0
    values = [white, black] * 8
    data = np.packbits([[value >> at & 1 for at in range(bits - 1, -1, -1)] for value in values])
    data = data.tobytes() if bits < 16 else struct.pack("<16H", *values)
    content = tiff(data, {256: 16, 257: 1, 258: bits, 262: 0})
    assert _greys(content) == [255, 0] * 8


def test_big_endian_16_bit_grey() -> None:
    data = struct.pack(">3H", 65535, 32768, 0)
    content = tiff(data, {256: 3, 257: 1, 258: 16, 262: 1}, big_endian=True)
    assert _greys(content) == [255, 128, 0]


@pytest.mark.parametrize(
    ("bits", "sample_format", "kind"),
    [(8, 2, "signed"), (16, 2, "signed"), (32, 1, "32-bit"), (32, 2, "signed"),
     (32, 3, "floating-point")],
)  # fmt: skip
def test_greys_without_a_defined_white_are_refused(
    bits: int, sample_format: int, kind: str
) -> None:
    content = tiff(bytes(16), {256: 4, 257: 1, 258: bits, 262: 1, 339: sample_format})
    with pytest.raises(ImageError, match=f"has {kind} grey levels, .* unsigned"):
        decode(content)


def _two_colours() -> Image.Image:
    image = Image.new("RGB", (4, 2), PURPLE)
    image.paste(BLUE, (2, 0, 4, 2))
    return image


def _transparent_images() -> dict[str, bytes]:
    """Left half transparent, right half blue or (for greys) level 85."""
    deep = struct.pack(">6H", 0x8001, 0, 0x8001, 0, 0, 0xFFFF)
    nearly = struct.pack(">6H", 0x8001, 0, 0x8002, 0, 0, 0xFFFF)
    key = {b"tRNS": struct.pack(">3H", 0x8001, 0, 0x8001)}
    palette = _two_colours().quantize(2)
    transparent = palette.getpixel((0, 0))
    rgba = _two_colours().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.array([[0, 0, 255, 255]] * 2, np.uint8)))
    assert decode(png((2, 1), 16, 2, [nearly], key)).getpixel((0, 0)) == (128, 0, 128)
    return {
        "RGB": encoded(_two_colours(), "PNG", transparency=PURPLE),
        "16-bit RGB": png((2, 1), 16, 2, [deep], key),
        "16-bit RGBA": png((2, 1), 16, 6, [struct.pack(">8H", 9, 9, 9, 0, 0, 0, 0xFFFF, 0xFFFF)]),
        "palette": encoded(palette, "PNG", transparency=transparent),
        "palette of alphas": encoded(palette, "PNG", transparency=bytes(
            [0, 255] if transparent == 0 else [255, 0])),
        "GIF": encoded(palette, "GIF", transparency=transparent),
        "WebP": encoded(rgba, "WEBP", lossless=True, exact=True),
        "TIFF": encoded(rgba, "TIFF"),
        "2-bit grey": png((4, 1), 2, 0, [b"\x05"], {b"tRNS": b"\0\0"}),
        "4-bit grey": png((2, 1), 4, 0, [b"\x35"], {b"tRNS": b"\0\3"}),
        "8-bit grey": png((2, 1), 8, 0, [b"\x07\x55"], {b"tRNS": b"\0\7"}),
        "16-bit grey": png((2, 1), 16, 0, [b"\x07\1\x55\x55"], {b"tRNS": b"\7\1"}),
        "grey and alpha": png((2, 1), 8, 4, [b"\x07\0\x55\xff"]),
    }  # fmt: skip


@pytest.mark.parametrize("kind", _transparent_images())
def test_what_is_transparent_is_white_in_every_kind_of_file(kind: str) -> None:
    image = decode(_transparent_images()[kind])
    assert image.getpixel((0, 0)) == WHITE
    opaque = (85, 85, 85) if "grey" in kind else BLUE
    assert image.getpixel((image.width - 1, 0)) == opaque


def test_a_one_bit_transparent_level() -> None:
    content = png((8, 1), 1, 0, [b"\x0f"], {b"tRNS": b"\0\0"})
    assert _greys(content) == [255] * 8


def test_premultiplied_and_palette_alpha_of_pil_images() -> None:
    palette = Image.new("PA", (2, 2))
    palette.putalpha(0)
    for image in (
        Image.new("RGBA", (2, 2), (9, 9, 9, 0)).convert("RGBa"),
        Image.new("LA", (2, 2), (100, 0)).convert("La"),
        palette,
    ):
        assert decode(image).getpixel((0, 0)) == WHITE


def test_an_alpha_channel_of_zeros_in_a_bmp_is_no_alpha() -> None:
    image = Image.new("RGBA", (3, 2), (10, 20, 30, 0))
    assert decode(encoded(image, "BMP")).getpixel((0, 0)) == (10, 20, 30)


def test_around_a_small_first_frame_a_gif_is_white() -> None:
    content = bytearray(encoded(Image.new("P", (4, 4), 0), "GIF"))
    struct.pack_into("<HH", content, 6, 8, 8)
    image = decode(bytes(content))
    assert image.size == (8, 8)
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert image.getpixel((7, 7)) == WHITE


@pytest.mark.parametrize("kind", ["RGBA", "LA", "L", "I;16", "P", "CMYK", "1"])
def test_bands_give_the_pixels_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 4), np.uint8)
    image = Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257)
    if kind != "I;16":
        image = Image.fromarray(noise).convert(kind)
    whole = np.asarray(decode(image))
    monkeypatch.setattr(image_colour, "BAND_PIXELS", 100)
    np.testing.assert_array_equal(np.asarray(decode(image)), whole)


def _through_lcms(image: Image.Image, profile: bytes) -> np.ndarray:
    seen = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )  # fmt: skip
    return np.asarray(seen)


PHOTO = draw_image(1, 3, (64, 48))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {}),
     ("JPEG", {"progressive": True}), ("AVIF", {})],
)  # fmt: skip
def test_a_wide_gamut_is_converted_in_every_format(kind: str, options: dict) -> None:
    plain = Image.open(io.BytesIO(encoded(PHOTO, kind, **options)))
    expected = _through_lcms(plain.convert("RGB"), WIDE)
    content = encoded(PHOTO, kind, icc_profile=WIDE, **options)
    assert np.abs(expected.astype(int) - np.asarray(plain)).max() > 20
    np.testing.assert_array_equal(np.asarray(decode(content)), expected)
    np.testing.assert_array_equal(np.asarray(decode(Image.open(io.BytesIO(content)))), expected)


@pytest.mark.parametrize("profile", [None, WIDE])
@pytest.mark.parametrize("at_least", [None, 12])
def test_without_simplejpeg_a_profile_means_the_same(
    profile: bytes | None, at_least: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(PHOTO, "JPEG", icc_profile=profile)
    usual = np.asarray(decode(content, at_least=at_least))

    def absent(name: str) -> ModuleType | None:
        return None

    monkeypatch.setattr(acceleration, "optional_module", absent)
    np.testing.assert_array_equal(np.asarray(decode(content, at_least=at_least)), usual)


def test_transparent_and_palette_images_are_converted() -> None:
    expected = _through_lcms(Image.new("RGB", (1, 1), (200, 30, 20)), WIDE)[0, 0].tolist()
    rgba = Image.new("RGBA", (2, 2), (200, 30, 20, 255))
    rgba.putpixel((1, 1), (0, 0, 0, 0))
    for image in (rgba, rgba.quantize(4)):
        seen = decode(encoded(image, "PNG", icc_profile=WIDE))
        assert list(seen.getpixel((0, 0))) == expected
        assert seen.getpixel((1, 1)) == WHITE


def test_a_grey_profile_is_applied() -> None:
    content = encoded(
        Image.new("L", (2, 2), 55), "PNG", icc_profile=icc_profile(gamma=1, space=b"GRAY")
    )
    assert decode(content).getpixel((0, 0)) == (128, 128, 128)
    deep = Image.fromarray(np.full((2, 2), 55 * 257, np.uint16))
    deep.info["icc_profile"] = icc_profile(gamma=1, space=b"GRAY")
    assert decode(deep).getpixel((0, 0)) == (128, 128, 128)


def _cmyk_profile() -> bytes:
    """Of a printer whose inks only darken: a table of two points along each axis, in Lab."""
    ramp = bytes(range(256))
    corners = bytes(
        byte for inks in np.ndindex(2, 2, 2, 2) for byte in (255 * (4 - sum(inks)) // 4, 128, 128)
    )
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(65536 * (at % 4 == 0) for at in range(9)))
    table += ramp * 4 + corners + ramp * 3
    table += bytes(-len(table) % 4)
    head = bytearray(icc_profile()[:128])
    head[12:24] = b"prtrCMYKLab "
    place = 128 + 4 + 12
    content = bytes(head) + struct.pack(">I4sII", 1, b"A2B0", place, len(table)) + table
    return struct.pack(">I", len(content)) + content[4:]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_cmyk_profile_is_applied(kind: str) -> None:
    image = Image.new("CMYK", (8, 8), (255, 0, 255, 0))
    profile = _cmyk_profile()
    plain = decode(encoded(image, kind)).getpixel((0, 0))
    seen = decode(encoded(image, kind, icc_profile=profile)).getpixel((0, 0))
    expected = _through_lcms(image, profile)[0, 0]
    assert np.abs(np.subtract(seen, expected)).max() <= 3
    assert np.abs(np.subtract(seen, plain)).max() > 30


def test_lab_images_are_converted() -> None:
    content = encoded(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF")
    assert min(decode(content).getpixel((0, 0))) >= 253


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    "profile",
    [SRGB, b"", b"garbage", WIDE[:200], WIDE[:300], icc_profile(space=b"GRAY"),
     WIDE[:128] + b"\xff" * 4 + WIDE[132:], WIDE + bytes(image_profiles.MAX_PROFILE_BYTES)],
    ids=["sRGB", "none", "garbage", "cut", "cut later", "grey", "no end of tags", "too large"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_srgb_and_damaged_profiles_change_nothing(kind: str, profile: bytes) -> None:
    plain = np.asarray(decode(encoded(PHOTO, kind)))
    content = encoded(PHOTO, kind, icc_profile=profile)
    np.testing.assert_array_equal(np.asarray(decode(content)), plain)


def test_a_photo_in_srgb_keeps_the_fast_path() -> None:
    pytest.importorskip("simplejpeg")
    assert isinstance(decode_image(encoded(PHOTO, "JPEG", icc_profile=SRGB)).image, np.ndarray)


def test_decoding_twice_converts_and_turns_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    once = decode(encoded(PHOTO, "PNG", icc_profile=WIDE, exif=exif))
    np.testing.assert_array_equal(np.asarray(decode(once)), np.asarray(once))
    lent = Image.open(io.BytesIO(encoded(PHOTO, "PNG", icc_profile=WIDE, exif=exif)))
    once = decode(lent)
    np.testing.assert_array_equal(np.asarray(decode(once)), np.asarray(once))


def test_a_lent_image_is_left_as_it_was() -> None:
    for content in seeds("PNG").values():
        lent, untouched = (Image.open(io.BytesIO(content)) for _ in range(2))
        decode(lent).paste((1, 2, 3), (0, 0, 2, 2))
        assert lent.tobytes() == untouched.tobytes()
        assert lent.info == untouched.info


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_path_bytes_and_a_pil_image_give_the_same_pixels(kind: str) -> None:
    for name, content in seeds(kind).items():
        if name in ("float", "16 bit"):
            continue
        from_image = np.asarray(decode(Image.open(io.BytesIO(content))))
        np.testing.assert_array_equal(np.asarray(decode(content)), from_image, err_msg=name)
