"""Equal pixels are found among large photos, though JPEGs are decoded small."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.data import copies
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.orientation import EXIF_ORIENTATION
from pplcnet.tasks.audit import audit
from tests.conftest import draw_scene
from tests.image_seeds import encoded

SMALL = Handover(side=40)
SIZE = (720, 540)


@cache
def _jpeg(number: int, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return encoded(draw_scene(number, SIZE), "JPEG", exif=exif)


def _with_comment(content: bytes) -> bytes:
    return content[:2] + b"\xff\xfe\0\5abc" + content[2:]


def _checked(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch):
    """The audit's groups of copies, by name, and the files that were decoded in full for that."""
    in_full: list[str] = []
    real = copies.digest_in_full

    def watched(path: Path, room: object) -> str | None:
        in_full.append(path.name)
        return real(path, room)  # type: ignore[arg-type]

    monkeypatch.setattr(copies, "digest_in_full", watched)
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    draw_scene(90).save(folder / "b" / "other.png")
    for name, content in files.items():
        (folder / "a" / name).write_bytes(content)
    found = audit(Dataset.open(folder), handover=SMALL)
    assert not [fault for fault in found.faults if fault.kind == "unreadable"]
    return [sorted(path.name for path in group) for group in found.copies], sorted(in_full)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_png_of_a_large_jpeg_is_its_copy(
    orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg = _jpeg(1, orientation)
    files = {
        "one.jpg": jpeg,
        "another.jpg": _jpeg(2),
        "same.png": encoded(decode(jpeg), "PNG", compress_level=1),
    }
    groups, in_full = _checked(tmp_path, files, monkeypatch)
    assert groups == [["one.jpg", "same.png"]]
    assert in_full == ["one.jpg"]


def test_the_same_pixels_in_another_jpeg_are_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"one.jpg": _jpeg(1), "two.jpg": _with_comment(_jpeg(1)), "three.jpg": _jpeg(3)}
    groups, in_full = _checked(tmp_path, files, monkeypatch)
    assert groups == [["one.jpg", "two.jpg"]]
    assert in_full == ["one.jpg", "two.jpg"]


def test_copies_of_a_file_need_no_second_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, in_full = _checked(tmp_path, {"one.jpg": _jpeg(1), "two.jpg": _jpeg(1)}, monkeypatch)
    assert (groups, in_full) == ([["one.jpg", "two.jpg"]], [])


def test_photos_that_differ_only_in_full_are_no_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern that libjpeg leaves out at half the size, and its negative: both an even grey."""
    wave = np.cos((2 * np.arange(8) + 1) * 4 * np.pi / 16)
    pattern = np.tile(90 * np.outer(wave, wave), (SIZE[1] // 8 + 1, SIZE[0] // 8 + 1))
    files = {
        f"{name}.jpg": encoded(
            Image.fromarray((128 + sign * np.rint(pattern)).astype(np.uint8)), "JPEG", quality=95
        )
        for name, sign in {"positive": 1, "negative": -1}.items()
    }
    groups, in_full = _checked(tmp_path, files, monkeypatch)
    assert groups == []
    assert in_full == ["negative.jpg", "positive.jpg"]


def test_a_large_jpeg_that_is_cut_or_damaged_is_a_fault(photos: Path) -> None:
    whole = _jpeg(4)
    for name, part in {"cut": 0.6, "end": 0.99}.items():
        (photos / "class_0" / f"{name}.jpg").write_bytes(whole[: int(len(whole) * part)])
    found = audit(Dataset.open(photos), handover=SMALL)
    assert [fault.kind for fault in found.faults] == ["unreadable", "unreadable"]
    assert {"truncated or damaged" in fault.text for fault in found.faults} == {True}
