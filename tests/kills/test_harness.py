"""The kill harness itself: it stops where it says, and finds what is not safe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kills.harness import kill_everywhere, needs_tracing

pytestmark = needs_tracing


def _prepare(folder: Path) -> None:
    (folder / "file").write_text("old" * 100)


def _safely(folder: Path) -> None:
    (folder / "file.new").write_text("new" * 100)
    os.replace(folder / "file.new", folder / "file")


def _carelessly(folder: Path) -> None:
    (folder / "file").write_text("new" * 100)


def _is_whole(folder: Path, point: object) -> None:
    assert (folder / "file").read_text() in ("old" * 100, "new" * 100)


def test_every_changing_call_is_hit_before_within_and_after(tmp_path: Path) -> None:
    hit = kill_everywhere(tmp_path / "place", _prepare, _safely, _is_whole)
    assert [(point.call, point.path, point.when) for point in hit] == [
        ("openat", "file.new", "before"),
        ("openat", "file.new", "after"),
        ("write", "file.new", "before"),
        ("write", "file.new", "within"),
        ("write", "file.new", "after"),
        ("rename", "file.new", "before"),
        ("rename", "file.new", "after"),
    ]


def test_a_write_that_is_not_safe_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as found:
        kill_everywhere(tmp_path / "place", _prepare, _carelessly, _is_whole)
    assert "openat" in found.value.__notes__[0]


def test_half_of_a_write_is_on_disk(tmp_path: Path) -> None:
    sizes = {}

    def measure(folder: Path, point) -> None:
        if point.call == "write":
            sizes[point.when] = (folder / "file.new").stat().st_size

    kill_everywhere(tmp_path / "place", _prepare, _safely, measure)
    assert sizes == {"before": 0, "within": 150, "after": 300}
