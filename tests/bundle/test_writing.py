"""One writer at a time, readers beside it, and what killed writers leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle, BundleChangedError, read_consistently, staged_name
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import update_bundle, write_bundle
from pplcnet.errors import BundleError, InputError, PPLCNetError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.system.locking import LOCK_FILE, locked


def _manifest(**values: object) -> Manifest:
    facts: dict = {
        "classes": ("a", "b"),
        "preprocessing": Preprocessing(image_size=(8, 8)),
        "network": {"name": "pplcnet_x0_25", "options": {}},
        "variants": {"onnx": {"file": "model.onnx"}},
    }
    return Manifest(**(facts | values))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    files = {"model.onnx": b"network", "two": b"2"}
    return write_bundle(tmp_path / "x.bundle", _manifest(), files)


def test_a_bundle_is_replaced_only_where_that_was_asked_for(bundle: Bundle) -> None:
    with pytest.raises(InputError, match=r"already holds a bundle; .* --overwrite"):
        write_bundle(bundle.path, _manifest(), {"model.onnx": b"other"}, overwrite=False)
    assert Bundle.open(bundle.path).read("model.onnx") == b"network"
    write_bundle(bundle.path, _manifest(), {"model.onnx": b"other"}, overwrite=True)
    assert Bundle.open(bundle.path).read("model.onnx") == b"other"


def test_what_another_process_added_stays(bundle: Bundle) -> None:
    mine = Bundle.open(bundle.path)
    update_bundle(bundle, files={"new.onnx": b"x"}, variants={"new": {"file": "new.onnx"}})
    update_bundle(bundle, tuning={"other": {"ranking": []}}, provenance={"theirs": 1})
    written = update_bundle(mine, tuning={"mine": {"ranking": []}}, provenance={"own": 2})
    assert set(written.manifest.variants) == {"onnx", "new"}
    assert set(written.manifest.tuning) == {"other", "mine"}
    assert written.manifest.provenance == {"theirs": 1, "own": 2}
    assert Bundle.open(bundle.path).read("new.onnx") == b"x"


def test_what_the_caller_removes_goes_and_what_it_has_not_seen_stays(bundle: Bundle) -> None:
    mine = update_bundle(bundle, tuning={"mine": {"ranking": []}})
    update_bundle(mine, tuning={**mine.manifest.tuning, "theirs": {"ranking": []}})
    assert set(update_bundle(mine, tuning={}).manifest.tuning) == {"theirs"}


def test_a_variant_goes_with_its_file(bundle: Bundle) -> None:
    int8 = {"file": "int8.onnx", "precision": "int8"}
    written = update_bundle(bundle, files={"int8.onnx": b"8"}, variants={"int8": int8})
    assert (bundle.path / "int8.onnx").exists()
    written = update_bundle(written, without=["int8"])
    assert set(written.manifest.variants) == {"onnx"}
    assert not (bundle.path / "int8.onnx").exists()


@pytest.mark.parametrize("changed", ["network", "classes"])
def test_changes_made_for_another_network_are_refused(bundle: Bundle, changed: str) -> None:
    mine = Bundle.open(bundle.path)
    manifest = _manifest(classes=("c", "d")) if changed == "classes" else _manifest()
    content = b"another" if changed == "network" else b"network"
    write_bundle(bundle.path, manifest, {"model.onnx": content})
    before = (bundle.path / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="network has been replaced since it was opened"):
        update_bundle(mine, tuning={"mine": {"ranking": []}})
    assert (bundle.path / "manifest.json").read_bytes() == before


def test_two_works_on_one_bundle_at_a_time_are_refused(bundle: Bundle) -> None:
    with Bundle.open_to_change(bundle.path):
        hold = (
            "import sys\nfrom pplcnet.bundle.bundle import Bundle\n"
            "with Bundle.open_to_change(sys.argv[1]): pass"
        )
        other = subprocess.run(
            [sys.executable, "-c", hold, str(bundle.path)], capture_output=True, text=True
        )
    assert f"is in use by another pplcnet process (pid {os.getpid()})" in other.stderr
    with Bundle.open_to_change(bundle.path) as opened:
        update_bundle(opened, provenance={"own": 1})
    assert not (bundle.path / LOCK_FILE).exists()


def test_a_reader_that_opened_before_a_write_is_told_to_open_again(bundle: Bundle) -> None:
    write_bundle(bundle.path, _manifest(), {"model.onnx": b"another"})
    with pytest.raises(BundleChangedError, match="since it was opened"):
        bundle.read("model.onnx")
    with pytest.raises(BundleChangedError):
        bundle.read("two")
    assert read_consistently(bundle.path, lambda each: each.read("model.onnx")) == b"another"


WRITER = """
import sys
from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import write_bundle
bundle = Bundle.open(sys.argv[1])
for turn in range(80):
    files = {"model.onnx": bytes([turn]) * 20000, "two": bytes([turn]) * 500}
    if turn % 3:
        del files["two"]
    write_bundle(bundle.path, bundle.manifest, files)
"""


def test_readers_beside_a_writer_never_see_a_mixture_or_a_gap(bundle: Bundle) -> None:
    def read_all(opened: Bundle) -> set[bytes]:
        return {opened.read(name)[:1] for name in opened.manifest.files}

    # The first generation was made by the fixture, of two different bytes.
    write_bundle(bundle.path, _manifest(), {"model.onnx": b"\0" * 20000})
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(bundle.path)])
    seen: list[int] = []
    faults: list[Exception] = []

    def read() -> None:
        while writer.poll() is None:
            try:
                (mark,) = read_consistently(bundle.path, read_all)
                seen.append(mark[0])
            except (PPLCNetError, ValueError) as error:
                faults.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    assert writer.wait() == 0
    assert faults == []
    assert len(set(seen)) > 3


def test_a_file_of_the_users_in_the_way_is_kept_under_another_name(bundle: Bundle) -> None:
    (bundle.path / "int8.onnx").write_bytes(b"mine")
    (bundle.path / "int8.onnx.unlisted-1").write_bytes(b"older")
    variant = {"file": "int8.onnx", "precision": "int8"}
    update_bundle(bundle, files={"int8.onnx": b"8"}, variants={"int8": variant})
    assert Bundle.open(bundle.path).read("int8.onnx") == b"8"
    assert (bundle.path / "int8.onnx.unlisted-1").read_bytes() == b"older"
    assert (bundle.path / "int8.onnx.unlisted-2").read_bytes() == b"mine"


def test_two_names_for_the_same_content_are_both_there(bundle: Bundle) -> None:
    update_bundle(bundle, files={"copy.onnx": b"new", "again.onnx": b"new"})
    opened = Bundle.open(bundle.path)
    assert opened.read("copy.onnx") == opened.read("again.onnx") == b"new"


def test_leftovers_of_killed_writers_go_with_the_next_write(bundle: Bundle) -> None:
    (bundle.path / staged_name("model.onnx", "0" * 64)).write_bytes(b"half")
    (bundle.path / ".manifest.json.writing").write_bytes(b"half")
    (bundle.path / LOCK_FILE).write_text("1")
    beside = bundle.path.with_name(".x.bundle.writing-abc")
    beside.mkdir()
    update_bundle(bundle, provenance={"own": 1})
    left = {each.name for each in bundle.path.iterdir()}
    assert left == {"manifest.json", "model.onnx", "two"}
    assert not beside.exists()


def test_leftovers_of_a_living_writer_stay(bundle: Bundle) -> None:
    """Nobody cleans up without the lock."""
    staged = bundle.path / staged_name("model.onnx", "0" * 64)
    code = (
        "import sys\nfrom pplcnet.bundle import writing as w\n"
        "from pplcnet.bundle.bundle import Bundle\n"
        "w.WAIT = 0.1\nw.update_bundle(Bundle.open(sys.argv[1]), provenance={'own': 1})"
    )
    with locked(bundle.path):
        staged.write_bytes(b"half")
        other = subprocess.run(
            [sys.executable, "-c", code, str(bundle.path)], capture_output=True, text=True
        )
        assert staged.exists()
    assert "is in use" in other.stderr


def test_a_leftover_of_packing_is_replaced(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / ".x.zip.writing").write_bytes(b"half")
    bundle.pack(tmp_path / "x.zip")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.bundle", "x.zip"]


def test_a_reader_without_write_permission_reads_what_a_killed_writer_left(bundle: Bundle) -> None:
    """The manifest has been switched; the new file still has its hidden name."""
    content = b"newer network"
    written = update_bundle(bundle, files={"model.onnx": content})
    digest = written.manifest.files["model.onnx"]["sha256"]
    os.rename(bundle.path / "model.onnx", bundle.path / staged_name("model.onnx", digest))
    (bundle.path / "model.onnx").write_bytes(b"network")
    bundle.path.chmod(0o555)
    try:
        assert Bundle.open(bundle.path).read("model.onnx") == content
    finally:
        bundle.path.chmod(0o755)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_regular_file_is_refused_at_once(bundle: Bundle, kind: str) -> None:
    target = bundle.path / "two"
    target.unlink()
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("/dev/zero")
    with pytest.raises(BundleError):
        bundle.read("two")


def _packed(path: Path, manifest: dict, **members: bytes) -> Path:
    manifest = {name: value for name, value in manifest.items() if name != "checksum"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_packed_bundle_that_unpacks_to_more_than_it_may_is_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    manifest = json.loads(bundle.manifest.to_json())
    large = b"\0" * (70 << 20)
    manifest["files"]["two"]["bytes"] = len(large)
    path = _packed(tmp_path / "x.zip", manifest, two=large)
    with pytest.raises(BundleError, match="unpacks to 73,400,320 bytes"):
        Bundle.open(path).read("two")
    manifest["files"]["two"]["bytes"] = 1
    path = _packed(tmp_path / "y.zip", manifest, two=b"2" * 100)
    with pytest.raises(
        BundleError, match=r"was changed: it is larger than the manifest says \(1 bytes\)"
    ):
        Bundle.open(path).read("two")
    manifest["files"]["two"]["bytes"] = 3 << 30
    with pytest.raises(BundleError, match="allowed are up to"):
        Bundle.open(_packed(tmp_path / "z.zip", manifest))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_packed_bundle_with_a_file_twice_or_too_many_is_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = _packed(tmp_path / "x.zip", json.loads(bundle.manifest.to_json()))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("two", b"2")
        archive.writestr("two", b"3")
    with pytest.raises(BundleError, match="appears twice"):
        Bundle.open(path).read("two")
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(1200):
            archive.writestr(f"{number}", b"")
    with pytest.raises(BundleError, match="a bundle has a handful"):
        Bundle.open(path)


def test_an_encrypted_or_overlapping_member_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    packed = bundle.pack(tmp_path / "x.zip")
    content = bytearray(packed.read_bytes())
    entry = content.rindex(b"PK\x01\x02")  # of "two", the last
    content[entry + 8] |= 1
    packed.write_bytes(content)
    with pytest.raises(BundleError, match="encrypted"):
        Bundle.open(packed).read("two")
    content[entry + 8] &= 0xFE
    content[entry + 42 : entry + 46] = (0).to_bytes(4, "little")
    packed.write_bytes(content)
    with pytest.raises(BundleError):
        Bundle.open(packed).read("two")


def test_a_bundle_in_use_is_not_packed_over(bundle: Bundle, tmp_path: Path) -> None:
    with locked(tmp_path / "x.zip", is_file=True):
        failed = subprocess.run(
            [
                sys.executable, "-c",
                "import sys\nfrom pplcnet.bundle import packing as w\n"
                "from pplcnet.bundle.bundle import Bundle\nw.WAIT = 0.1\n"
                "Bundle.open(sys.argv[1]).pack(sys.argv[2])",
                str(bundle.path), str(tmp_path / "x.zip"),
            ],
            capture_output=True, text=True,
        )  # fmt: skip
    assert InputError.__name__ in failed.stderr
    assert "x.zip: is in use" in failed.stderr
