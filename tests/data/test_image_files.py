"""Which files are taken for photos, and what is said of the others."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from pplcnet.cli.main import main
from pplcnet.data import image_files as photo_files
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import PassedOver, find_images, read_image_file
from pplcnet.data.unlabelled import audit_unlabelled
from pplcnet.errors import DatasetError
from pplcnet.tasks.audit import audit


def _names(folder: Path, passed_over: PassedOver | None = None) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder, passed_over)]


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_that_are_no_photos_are_counted_by_kind(photos: Path) -> None:
    for number in range(30):
        (photos / "class_0" / f"IMG_{number}.DNG").touch()
    _touch(photos / "class_1" / "one", photos / "class_1" / "two", photos / "class_1" / "Thumbs.db")
    _touch(photos / "class_2" / ".DS_Store", photos / "class_2" / "x.\x1b[31m")
    (note,) = audit(Dataset.open(photos)).notes
    assert note.startswith(
        "35 files were ignored (30 .dng, 2 without an extension, 1 .db, 1 hidden, "
        "1 with other extensions); photos end in "
    )
    assert " .bmp, .gif, " in note


def test_photos_beside_the_class_folders_are_counted_and_lists_are_not(photos: Path) -> None:
    _touch(photos / "loose.jpg", photos / "raw.dng", photos / "labels.txt", photos / ".git" / "a")
    assert Dataset.open(photos).notes == (
        "2 files were ignored (2 beside the class folders).",
        "1 folder was not searched (1 hidden).",
    )


def test_folders_of_systems_and_programs_are_not_searched(photos: Path) -> None:
    for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints", ".thumbnails"):
        shutil.copytree(photos / "class_1", photos / "class_0" / name)
    shutil.copytree(photos / "class_1", photos / "lost+found")
    dataset = Dataset.open(photos)
    assert dataset.class_counts() == (12, 12, 12)
    assert dataset.notes == (
        "5 folders were not searched (1 .ipynb_checkpoints, 1 @eaDir, 1 __MACOSX, 1 hidden, "
        "1 lost+found).",
    )


def test_a_data_set_of_other_files_alone_says_which(tmp_path: Path) -> None:
    _touch(*(tmp_path / label / f"{n}.jxl" for label in "ab" for n in range(2)))
    with pytest.raises(DatasetError, match=r"no images[^\n]*\n  4 files were ignored \(4 \.jxl\)"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize("target", [".", "..", "../..", "../a"])
def test_a_link_to_a_folder_around_it_brings_nothing_twice(tmp_path: Path, target: str) -> None:
    _touch(*(tmp_path / "data" / label / f"{n}.png" for label in "ab" for n in range(4)))
    (tmp_path / "data" / "a" / "latest").symlink_to(target)
    (tmp_path / "data" / "again").symlink_to(".")
    assert Dataset.open(tmp_path / "data").class_counts() == (4, 4)


def test_loops_of_two_links_end(tmp_path: Path) -> None:
    _touch(tmp_path / "a" / "x.jpg", tmp_path / "b" / "y.jpg")
    for name in ("l1", "l2"):
        (tmp_path / "a" / name).symlink_to("..")
        (tmp_path / "b" / name).symlink_to("../a")
    assert _names(tmp_path) == ["a/x.jpg", "b/y.jpg"]


def test_a_linked_folder_is_found_at_its_real_place_where_both_are(tmp_path: Path) -> None:
    _touch(tmp_path / "data" / "z" / "1.png", tmp_path / "elsewhere" / "2.png")
    (tmp_path / "data" / "a").symlink_to("z")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    assert _names(tmp_path / "data") == ["z/1.png", "b/2.png"]


def test_pipes_sockets_devices_and_broken_links_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(tmp_path / "photo.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "broken.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        passed_over = PassedOver()
        assert _names(tmp_path, passed_over) == ["photo.jpg"]
        assert passed_over.files == {
            "of a special type (pipe, socket or device)": 3,
            "behind a broken link": 2,
        }
        for name in ("pipe.jpg", "zero.jpg", "socket.jpg"):
            with pytest.raises(OSError, match=r"not a regular file|No such device"):
                read_image_file(tmp_path / name)


def test_a_folder_without_photos_says_what_it_holds(capsys, tmp_path: Path) -> None:
    _touch(tmp_path / "photos" / "IMG_1.DNG")
    assert main(["predict", str(tmp_path / "bundle"), str(tmp_path / "photos")]) == 2
    error = capsys.readouterr().err
    assert "no images in this folder or its subfolders" in error
    assert "1 file was ignored (1 .dng)" in error


def _forbid(monkeypatch: pytest.MonkeyPatch, *forbidden: Path) -> None:
    """Folders that cannot be listed, for root as well."""
    scan = os.scandir

    def scandir(folder):
        if Path(folder) in forbidden:
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(photo_files.os, "scandir", scandir)


def test_a_folder_that_cannot_be_read_is_an_error_that_names_it(
    capsys, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "class_0" / "more").mkdir()
    _forbid(monkeypatch, photos / "class_0" / "more", photos / "class_1")
    assert main(["check", str(photos)]) == 2
    error = capsys.readouterr().err
    assert "2 folders in it cannot be read" in error
    assert "class_0/more (Permission denied)" in error
    assert "class_1 (Permission denied)" in error


def test_unlabelled_photos_and_searches_name_what_they_cannot_read(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = audit(Dataset.open(photos))
    _forbid(monkeypatch, photos / "class_1")
    with pytest.raises(DatasetError, match=r"class_1 .Permission denied"):
        audit_unlabelled(photos, checked)
    found = find_images(photos)
    assert sum(1 for _, _ in zip(range(24), found, strict=False)) == 24  # the readable ones first
    with pytest.raises(DatasetError, match="1 folder in it cannot be read"):
        next(found)
