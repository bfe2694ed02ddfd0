"""The size and the orientation of a photo, from its header."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.headers import read_header


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_size_is_that_of_the_decoded_photo(
    tmp_path: Path, ending: str, orientation: int
) -> None:
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (64, 48)).save(path, **({} if ending == "bmp" else {"exif": exif}))
    header = read_header(path)
    assert header.stored == (64, 48)
    assert header.upright == decode(path).size
    assert header.orientation == (1 if ending == "bmp" else orientation)


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    for name in ("a.jpg", "absent.jpg"):
        with pytest.raises(ImageError, match=name):
            read_header(tmp_path / name)
