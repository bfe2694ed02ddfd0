"""Mutated images of every format are decoded or refused, within 5 seconds and a gigabyte."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.preprocessing import Preprocessing
from tests.fuzzing.harness import fuzz
from tests.image_seeds import seeds

MEGAPIXEL = 1_000_000
FAST = Preprocessing(image_size=(16, 16), policy="fast")
TOKENS = {
    "JPEG": [b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xe1", b"\xff\xe2", b"ICC_PROFILE\0"],
    "PNG": [b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"eXIf", b"zTXt", b"acTL", b"fcTL"],
    "WEBP": [b"VP8X", b"VP8L", b"VP8 ", b"ANIM", b"ANMF", b"ALPH", b"ICCP", b"EXIF"],
    "GIF": [b"GIF89a", b"!\xf9\4", b"!\xfe", b"!\xff\x0bNETSCAPE2.0", b",\0\0\0\0"],
    "BMP": [b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"],
    "HEIF": [b"ispe", b"hvcC", b"irot", b"clap", b"grid", b"iloc", b"dimg", b"auxl", b"colr"],
    "AVIF": [b"ispe", b"av1C", b"irot", b"imir", b"iloc", b"pixi", b"auxC", b"colr"],
    "TIFF": [b"\x02\x01", b"\x03\x01", b"\x06\x01", b"\x11\x01", b"\x42\x01", b"\x53\x01"],
}


def read(path: Path) -> None:
    image = decode(path)
    assert image.mode == "RGB"
    if image.width * image.height > MEGAPIXEL:
        return
    try:
        decode(path, at_least=4)
        FAST(path)
    except ImageError as error:
        raise AssertionError(f"read at full size, and at another not: {error}") from error


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(TOKENS))
def test_mutated_images_are_decoded_or_refused(kind: str, tmp_path: Path) -> None:
    fuzz(read, seeds(kind), tmp_path, suffix=".img", tokens=TOKENS[kind])
