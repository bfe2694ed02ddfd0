"""The bundle: written whole or not at all, checked byte by byte, never executed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest

from pplcnet.bundle import writing as bundle_writing
from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import FORMAT_VERSION, Manifest
from pplcnet.bundle.writing import update_bundle, write_bundle
from pplcnet.errors import BundleError, InputError
from pplcnet.imaging.preprocessing import Preprocessing


def _manifest(**values: object) -> Manifest:
    facts: dict = {
        "classes": ("a", "b"),
        "preprocessing": Preprocessing(image_size=(8, 8)),
        "network": {"name": "pplcnet_x0_25", "options": {}},
        "variants": {"onnx": {"file": "one.bin"}},
    }
    return Manifest(**(facts | values))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "x.bundle", _manifest(), {"one.bin": b"first", "two": b"2"})


def test_what_is_written_is_read(bundle: Bundle) -> None:
    again = Bundle.open(bundle.path)
    assert again.manifest == bundle.manifest
    assert again.read("one.bin") == b"first"
    again.verify()
    values = json.loads((bundle.path / "manifest.json").read_text())
    assert values["input"] == {"shape": ["N", 8, 8, 3], "dtype": "uint8", "meaning": "RGB"}
    assert values["outputs"] == [{"name": "logits", "shape": ["N", 2], "dtype": "float32"}]


def test_packed_is_the_same(bundle: Bundle, tmp_path: Path) -> None:
    packed = Bundle.open(bundle.pack(tmp_path / "x.zip"))
    assert packed.manifest == bundle.manifest
    assert packed.read("two") == b"2"
    packed.verify()


def test_a_changed_byte_is_found(bundle: Bundle) -> None:
    (bundle.path / "one.bin").write_bytes(b"fjrst")
    with pytest.raises(BundleError, match=r"one\.bin is not the file that was saved"):
        Bundle.open(bundle.path).read("one.bin")
    with pytest.raises(BundleError, match="checksum"):
        Bundle.open(bundle.path).verify()


def test_a_changed_byte_in_a_packed_bundle_is_found(bundle: Bundle, tmp_path: Path) -> None:
    packed = bundle.pack(tmp_path / "x.zip")
    content = bytearray(packed.read_bytes())
    content[content.index(b"one.bin") + len("one.bin") + 1] ^= 0xFF
    packed.write_bytes(bytes(content))
    with pytest.raises(BundleError):
        Bundle.open(packed).verify()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "install a newer pplcnet"),
        ({"format_version": "one"}, "format version is 'one'"),
        ({"format": "other"}, "not that of a pplcnet bundle"),
        ({"classes": []}, "incomplete or wrong"),
        ({"classes": [1, 2]}, "incomplete or wrong"),
        ({"files": {"../escape": {"sha256": "0"}}}, r"file name '\.\./escape'"),
        ({"files": {}}, "names a file that is not listed"),
        ({"preprocessing": {"image_size": [0, 0]}}, "incomplete or wrong"),
        ({"variants": None}, "incomplete or wrong"),
        ({"network": "pplcnet"}, "incomplete or wrong"),
        ({"files": "abc"}, "incomplete or wrong"),
    ],
)
def test_a_wrong_manifest_is_refused(bundle: Bundle, change: dict, complaint: str) -> None:
    path = bundle.path / "manifest.json"
    values = json.loads(path.read_text()) | change
    del values["checksum"]
    path.write_text(json.dumps(values))
    with pytest.raises(BundleError, match=complaint):
        Bundle.open(bundle.path)


def test_places_that_are_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "folder.zip", "w") as archive:
        archive.writestr("x.bundle/manifest.json", "{}")
    (tmp_path / "model.onnx").write_bytes(b"network")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    for name, complaint in (
        ("absent", "no such bundle"),
        ("empty", r"manifest\.json is missing"),
        ("text.zip", "neither a bundle folder nor a whole"),
        ("other.zip", r"manifest\.json is missing"),
        ("folder.zip", "is in a folder inside"),
        ("a" * 5000, "no such bundle"),
        ("model.onnx", "is a network without its bundle"),
        ("run", "holds a run that has no finished network"),
    ):
        with pytest.raises(BundleError, match=complaint):
            Bundle.open(tmp_path / name)


def test_a_manifest_saved_by_an_editor_with_a_byte_order_mark_is_read(bundle: Bundle) -> None:
    path = bundle.path / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig", newline="\r\n")
    assert Bundle.open(bundle.path).manifest == bundle.manifest


def test_a_full_disk_leaves_the_old_bundle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bundle_writing, "write_durably", no_space)
    with pytest.raises(BundleError, match=r"No space left on device.*intact"):
        write_bundle(bundle.path, _manifest(), {"one.bin": b"second"})
    assert Bundle.open(bundle.path).read("one.bin") == b"first"
    assert [each.name for each in bundle.path.parent.iterdir()] == ["x.bundle"]


def test_a_really_full_disk_is_noticed_while_writing() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("/dev/full does not exist here")
    with pytest.raises(OSError, match="No space left"):
        bundle_writing.write_durably(Path("/dev/full"), b"content")


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        write_bundle(tmp_path / "precious", _manifest(), {"one.bin": b"1"})
    assert (tmp_path / "precious" / "file").read_text() == "mine"


def test_a_missing_variant_says_how_to_make_it(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no variant 'keras'; it has onnx"):
        bundle.variant("keras")


def test_a_file_missing_from_the_folder(bundle: Bundle) -> None:
    shutil.move(bundle.path / "two", bundle.path / "three")
    with pytest.raises(BundleError, match="two is missing"):
        bundle.verify()


def test_a_bundle_given_through_a_link_is_changed_where_it_lies(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link"
    link.symlink_to(bundle.path)
    update_bundle(Bundle.open(link), files={"three": b"3"})
    assert link.is_symlink()
    for path in (link, bundle.path):
        assert Bundle.open(path).read("three") == b"3"
    assert [each.name for each in link.parent.iterdir()] == ["link"]


@pytest.mark.parametrize("given", [".", ""])
def test_the_current_folder_can_be_read_and_changed_as_a_bundle(
    bundle: Bundle, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle.path)
    assert Bundle.open(given).read("two") == b"2"
    update_bundle(Bundle.open(given), files={"three": b"3"})
    assert Bundle.open(bundle.path).read("three") == b"3"
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(BundleError, match="is missing"):
        Bundle.open(given)


def test_files_that_the_manifest_does_not_list_stay(bundle: Bundle) -> None:
    (bundle.path / "notes.txt").write_text("mine")
    (bundle.path / "plots").mkdir()
    (bundle.path / "plots" / "loss.png").write_bytes(b"png")
    (bundle.path / "link").symlink_to("notes.txt")
    written = write_bundle(bundle.path, _manifest(), {"one.bin": b"second"})
    assert (bundle.path / "notes.txt").read_text() == "mine"
    assert (bundle.path / "plots" / "loss.png").read_bytes() == b"png"
    assert (bundle.path / "link").is_symlink()
    # What the old manifest lists and the new one does not goes.
    assert not (bundle.path / "two").exists()
    assert set(Bundle.open(bundle.path).manifest.files) == set(written.manifest.files)


def test_a_place_that_cannot_be_written_to_is_found_before_the_work(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(InputError, match=r"cannot be written to \(Read-only file system\)"):
        Bundle.open_to_change(bundle.path).__enter__()
