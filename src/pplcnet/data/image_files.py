"""Image files on disk: which ones a folder has, which are ignored, which are the same file."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pplcnet.errors import DatasetError
from pplcnet.imaging.files import MAX_FILE_BYTES
from pplcnet.imaging.formats import image_endings, to_install
from pplcnet.system.wording import counted, listed

__all__ = [
    "FileState",
    "ImageFile",
    "PassedOver",
    "find_images",
    "read_image_file",
    "same_file_key",
    "subfolders",
]

# Folders that systems and programs create for themselves, in lower case; what looks like an image
# in them is a thumbnail, a deleted file or a resource fork.
SYSTEM_FOLDERS = frozenset(
    [
        "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin",
        "system volume information", "lost+found", "__macosx", "__pycache__",
    ]
)  # fmt: skip
HIDDEN, NO_ENDING, OTHER = "hidden", "without an extension", "with other extensions"
SPECIAL, BROKEN_LINK = "of a special type (pipe, socket or device)", "behind a broken link"
LOOSE = "beside the class folders"
# Image formats that are not read, or not by every installation.
UNREAD_ENDINGS = frozenset(
    [".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw",
     ".raf"]
)  # fmt: skip
LONGEST_ENDING = 8
KINDS_NAMED = 8

FolderKey = tuple[int, int]


class FileState(NamedTuple):
    """The attributes that change when a file is written, replaced or moved; fast to read."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """The state from a result of `os.stat`."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


@dataclass
class PassedOver:
    """What a search for images ignored, counted by kind."""

    files: Counter[str] = field(default_factory=Counter)
    """Files by kind: an ending such as ".heic", or words such as "hidden"."""
    folders: Counter[str] = field(default_factory=Counter)
    """Folders that were skipped, by name or "hidden"."""
    unreadable: list[str] = field(default_factory=list)
    """One line for each folder whose contents could not be listed."""

    def notes(self) -> list[str]:
        """One sentence for the files and one for the folders, if there are any."""
        notes = []
        if self.files:
            number = self.files.total()
            were = "was" if number == 1 else "were"
            text = f"{counted(number, 'file')} {were} ignored ({_counts(self.files)})"
            if any(kind.startswith(".") or kind in (NO_ENDING, OTHER) for kind in self.files):
                text += f"; photos end in {', '.join(sorted(image_endings()))}"
            commands = {command: kind for kind in self.files if (command := to_install(kind))}
            text += "".join(f"; to read {kind}: {each}" for each, kind in commands.items())
            notes.append(f"{text}.")
        if self.folders:
            number = self.folders.total()
            were = "was" if number == 1 else "were"
            notes.append(
                f"{counted(number, 'folder')} {were} not searched ({_counts(self.folders)})."
            )
        return notes

    def raise_unreadable(self, root: str | Path) -> None:
        """Raise DatasetError naming every folder whose contents could not be listed."""
        if self.unreadable:
            number = counted(len(self.unreadable), "folder")
            raise DatasetError(
                f"{root}: {number} in it cannot be read; grant read permission, or move it "
                "elsewhere:",
                self.unreadable,
            )

    def _file(self, name: str) -> None:
        ending = os.path.splitext(name)[1].lower()
        if name.startswith("."):
            kind = HIDDEN
        elif not ending:
            kind = NO_ENDING
        elif len(ending) <= LONGEST_ENDING and ending[1:].isascii() and ending[1:].isalnum():
            kind = ending
        else:
            kind = OTHER
        self.files[kind] += 1


def find_images(
    folder: str | os.PathLike[str],
    passed_over: PassedOver | None = None,
    *,
    in_order: bool = True,
) -> Iterator[Path]:
    """Every image file below `folder`, sorted within each folder.

    Regular files and links to them count; hidden files and folders, system folders (@eaDir,
    __MACOSX, ...) and special files do not. Links to folders are followed after all real folders,
    and every real folder is searched once, so loops end.

    Args:
        passed_over: counts what is ignored, and collects the folders that cannot be read.
        in_order: False yields them as found, in little memory even in a folder of millions.

    Raises:
        DatasetError: raised after the last image, without `passed_over`: unreadable folders.
    """
    folder = Path(folder)
    found = PassedOver() if passed_over is None else passed_over
    # A link to a folder that contains this one would list everything twice.
    seen = {key for each in folder.resolve().parents if (key := _folder_key(each)) is not None}
    waiting = [folder]
    while waiting:
        linked: list[Path] = []
        yield from _walk(waiting.pop(0), seen, linked, found, in_order)
        waiting += linked
    if passed_over is None:
        found.raise_unreadable(folder)


def _walk(
    folder: Path, seen: set[FolderKey], linked: list[Path], passed_over: PassedOver, ordered: bool
) -> Iterator[Path]:
    """Yield the images below a folder; append its links to folders to `linked`."""
    stack = [folder]
    while stack:
        parent = stack.pop()
        key = _folder_key(parent)
        if key in seen:
            continue
        if key is not None:
            seen.add(key)
        inner = []
        for entry in (_entries if ordered else _entries_unsorted)(parent, passed_over):
            kind = _kind(entry)
            path = Path(parent, entry.name)
            if kind == "folder":
                if _is_searched(entry.name, passed_over):
                    linked.append(path) if entry.is_symlink() else inner.append(path)
            elif entry.name.startswith(".") or not _has_image_ending(entry.name):
                passed_over._file(entry.name)
            elif kind == "file":
                yield path
            else:
                passed_over.files[kind] += 1
        stack += reversed(inner)


def subfolders(folder: Path, passed_over: PassedOver | None = None) -> list[Path]:
    """The direct subfolders that may hold images, sorted; without links back to it.

    Args:
        passed_over: counts what is ignored, including images directly in `folder`.

    Raises:
        DatasetError: without `passed_over`, if the folder cannot be read.
    """
    found = PassedOver() if passed_over is None else passed_over
    around = {_folder_key(each) for each in (folder, *folder.resolve().parents)}
    folders = []
    for entry in _entries(folder, found):
        path = Path(folder, entry.name)
        if _kind(entry) != "folder":
            # Lists, notes and programs are common here.
            ending = os.path.splitext(entry.name)[1].lower()
            if not entry.name.startswith(".") and ending in image_endings() | UNREAD_ENDINGS:
                found.files[LOOSE] += 1
        elif _is_searched(entry.name, found) and not (
            entry.is_symlink() and _folder_key(path) in around
        ):
            folders.append(path)
    if passed_over is None:
        found.raise_unreadable(folder)
    return folders


class ImageFile(NamedTuple):
    """A file's bytes, and its state when they were read."""

    content: bytes
    state: FileState


def read_image_file(path: str | os.PathLike[str]) -> ImageFile:
    """All bytes of a regular file, or of the regular file that a link points to.

    Raises:
        OSError: it cannot be read, is too large, or is a folder, a pipe, a socket or a device; it
            never blocks on one of these.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        if status.st_size > MAX_FILE_BYTES:
            reason = f"{status.st_size:,} bytes; up to {MAX_FILE_BYTES:,} are read"
            raise OSError(errno.EFBIG, reason, os.fspath(path))
        return ImageFile(file.read(), FileState.of(status))


def same_file_key(path: Path) -> object:
    """A key that is equal for two paths to one file, however they are spelled or linked."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    # Some network and FAT file systems have no file numbers.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def _entries(folder: Path, passed_over: PassedOver) -> list[os.DirEntry[str]]:
    """The entries of the folder, sorted; empty if it cannot be read, which is recorded."""
    return sorted(_entries_unsorted(folder, passed_over), key=lambda each: each.name)


def _entries_unsorted(folder: Path, passed_over: PassedOver) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        passed_over.unreadable.append(f"{folder} ({error.strerror})")


def _kind(entry: os.DirEntry[str]) -> str:
    """ "folder", "file", or another kind; links are followed."""
    try:
        mode = entry.stat().st_mode if entry.is_symlink() else None
        if entry.is_dir() if mode is None else stat.S_ISDIR(mode):
            return "folder"
        if entry.is_file() if mode is None else stat.S_ISREG(mode):
            return "file"
    except OSError:
        return BROKEN_LINK
    return SPECIAL


def _is_searched(name: str, passed_over: PassedOver) -> bool:
    if name.startswith("."):
        passed_over.folders[name if name == ".ipynb_checkpoints" else HIDDEN] += 1
        return False
    if name.lower() in SYSTEM_FOLDERS:
        passed_over.folders[name] += 1
        return False
    return True


def _has_image_ending(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in image_endings()


def _folder_key(folder: Path) -> FolderKey | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None


def _counts(kinds: Counter[str]) -> str:
    """ "30 .heic, 3 without an extension", the most frequent first."""
    return listed([f"{count} {kind}" for kind, count in _sorted(kinds)], KINDS_NAMED)


def _sorted(kinds: Counter[str]) -> Iterable[tuple[str, int]]:
    return sorted(kinds.items(), key=lambda each: (-each[1], each[0]))
