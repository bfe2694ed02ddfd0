"""What is accepted as an image, and what is said of everything else."""

from __future__ import annotations

import io
import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging import files as image_files
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.kinds import STARTS, image_format
from tests.conftest import draw_image
from tests.image_seeds import encoded, png, tiff

PNG = encoded(draw_image(0, 0, (8, 6)), "PNG")


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="a named pipe"):
        decode(tmp_path / "pipe.jpg")


def test_devices_sockets_and_folders_are_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
    for name, kind in (("zero.jpg", "a device"), ("socket.jpg", "a socket"), (".", "a folder")):
        with pytest.raises(ImageError, match=f"cannot be read: it is {kind}, not a regular file"):
            decode(name)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch) -> None:
    sparse = tmp_path / "sparse.png"
    sparse.touch()
    os.truncate(sparse, 1 << 40)
    with pytest.raises(ImageError, match="1,099,511,627,776 bytes; image files of up to"):
        decode(sparse)
    monkeypatch.setattr(image_files, "MAX_FILE_BYTES", len(PNG))
    assert decode(io.BytesIO(PNG)).size == (8, 6)
    for source in (PNG + b"x", bytearray(PNG + b"x"), io.BytesIO(PNG + b"x")):
        with pytest.raises(ImageError, match="image files of up to"):
            decode(source)


@pytest.mark.parametrize("name", ["a\0b.jpg", "\ud800.jpg", "x" * 5000, "", "absent/photo.jpg"])
def test_a_path_that_cannot_be_opened_is_an_image_error(name: str) -> None:
    with pytest.raises(ImageError, match=r"cannot be read|is not a usable path"):
        decode(name)


class _Unseekable(io.RawIOBase):
    """Gives seven bytes at a time, as a socket may."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 7))


def test_file_objects_and_buffers_are_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    expected = np.asarray(decode(PNG))
    at_its_end = io.BytesIO(PNG)
    at_its_end.seek(0, os.SEEK_END)
    with open(tmp_path / "a.png", "rb") as opened:
        sources = [
            at_its_end, at_its_end, opened, _Unseekable(PNG), memoryview(PNG),
            memoryview(np.frombuffer(PNG, np.uint8)), bytearray(PNG), tmp_path / "a.png",
        ]  # fmt: skip
        for source in sources:
            np.testing.assert_array_equal(np.asarray(decode(source)), expected)


def test_file_objects_that_give_no_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    closed = path.open("rb")
    closed.close()
    with path.open(encoding="latin-1") as text:
        for source, complaint in (
            (text, "str, not bytes; open it in binary mode"),
            (io.StringIO("text"), "str, not bytes"),
            (closed, "cannot be read"),
            (io.BytesIO(), "zero bytes"),
        ):
            with pytest.raises(ImageError, match=complaint):
                decode(source)


@pytest.mark.parametrize("source", [None, 3, [], {}, object(), (PNG, PNG), 1.5])
def test_what_is_no_image_is_an_image_error(source: object) -> None:
    with pytest.raises(ImageError, match=r"not an image.*give a path"):
        decode(source)


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((4, 4, 3), np.float32), "Levels from 0 to 1"),
        (np.zeros((3, 40, 40), np.uint8), "Channels first"),
        (np.zeros((4, 4, 3), np.uint16), "must be uint8"),
        (np.zeros((4, 4), bool), "must be uint8"),
        (np.array(3, np.uint8), "must be uint8"),
        (np.array([["a"]]), "must be uint8"),
        (np.array([[None]]), "must be uint8"),
        (np.zeros((2, 4, 4, 3), np.uint8), "must be uint8"),
        (np.zeros((0, 0), np.uint8), "has no pixels"),
    ],
)
def test_other_arrays_are_refused_with_a_hint(array: np.ndarray, hint: str) -> None:
    with pytest.raises(ImageError, match=f"the array of shape .*{hint}"):
        decode(array)


def test_a_closed_pil_image_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    image = Image.open(tmp_path / "a.png")
    image.close()
    with pytest.raises(ImageError, match=r"a\.png: truncated or damaged"):
        decode(image)


def _media_file(brand: bytes, *others: bytes) -> bytes:
    box = b"ftyp" + brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 4 + len(box)) + box + bytes(40)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (_media_file(b"crx ", b"isom"), "a camera raw file"),
        (_media_file(b"isom", b"mp42"), "a video; extract its frames"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a RIFF file"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(20), "a camera raw file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"\xff\x0a\xff\x07", "a JPEG XL image"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"%PDF-1.7", "a PDF document; save its pages"),
        (b"\0\0\1\0\1\0", "a Windows icon"),
        (b"P6\n2 2\n255\n", "a Netpbm image"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b"<?xml version='1.0'?><!-- x --><svg>", "an SVG drawing"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html><title>404", "a web page .*download it again"),
        (b"<!-- error --><html>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "an XML document"),
        (b'{"error": "not found"}', "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS metadata"),
        ("Zugriff verweigert – später".encode(), "plain text"),
        (bytes(5000), "only zero bytes"),
        (b"\x12\x34\x56\x78\x9a\xbc", "not an image of a known kind"),
    ],
)
def test_other_files_are_named(content: bytes, what: str) -> None:
    with pytest.raises(ImageError, match=what):
        decode(content)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (_media_file(b"avif", b"mif1"), "AVIF"),
        (_media_file(b"mif1", b"avif", b"miaf"), "AVIF"),
        (_media_file(b"mif1", b"heic"), "HEIF"),
        (_media_file(b"heix"), "HEIF"),
        (_media_file(b"isom", b"mp42"), None),
    ],
)
def test_images_and_videos_are_told_apart_by_their_brands(content: bytes, kind: str | None) -> None:
    assert image_format(content) == kind
    with pytest.raises(ImageError):
        decode(content)


def test_no_signature_of_another_kind_is_that_of_a_format_that_is_read() -> None:
    # 8 bytes more, as a Canon raw file starts like a TIFF.
    assert [start for start, _, _ in STARTS if image_format(start + bytes(8)) is not None] == []


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({258: 8, 262: 2, 277: 7}, "a TIFF with 7 samples of 8 bits a pixel"),
        ({258: 64, 262: 1, 339: 3}, "1 floating-point sample of 64 bits"),
        ({258: 12, 262: 0}, r"12 bits a pixel \(white is zero\)"),
        ({258: 8, 262: 1, 259: 33005}, "a TIFF compressed as JPEG 2000"),
        ({258: 8, 262: 1, 50706: 0x0401}, "a camera raw file"),
        ({258: 8, 262: 1, 254: 1, 330: 400}, "a camera raw file"),
    ],
)
def test_tiffs_of_other_kinds_are_described(tags: dict[int, int], what: str) -> None:
    with pytest.raises(ImageError, match=what):
        decode(tiff(bytes(400), {256: 2, 257: 2, **tags}))


def test_a_12_bit_jpeg_says_so() -> None:
    content = bytearray(encoded(draw_image(0, 0, (8, 6)), "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ImageError, match="12 bits per sample"):
        decode(bytes(content))


def test_an_ordinary_png_is_still_read_as_one() -> None:
    assert decode(png((1, 1), 8, 2, [b"\1\2\3"])).getpixel((0, 0)) == (1, 2, 3)
