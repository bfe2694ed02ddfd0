"""Limits on weights files: sizes are checked before anything is read or unpacked."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from pplcnet.errors import WeightsError

__all__ = ["FILE_LIMIT", "check_unpacked", "listed", "open_archive", "read_file", "read_member"]

# The largest network of the catalog with 21,000 classes takes 150 MB, a training state five times
# as much.
FILE_LIMIT = 1 << 30
# Weights hardly compress: above this size, unpacking may not expand the bytes by more than the
# factor.
FREELY_UNPACKED = 64 << 20
UNPACKED_FACTOR = 4
MAX_MEMBERS = 20_000
# Bytes of the central directory; every member in it takes a kilobyte of memory.
DIRECTORY_LIMIT = 4 << 20
LISTED_FAULTS = 20
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"


def read_file(path: Path, limit: int = FILE_LIMIT) -> bytes:
    """The bytes of a regular file; WeightsError when it cannot be read or is too large."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise WeightsError(f"{path}: is not a regular file.")
        if facts.st_size > limit:
            raise WeightsError(f"{path}: has {facts.st_size:,} bytes; at most {limit:,} are read.")
        with path.open("rb") as file:
            return file.read(facts.st_size)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error


def check_unpacked(declared: int, stored: int) -> None:
    """WeightsError if `stored` bytes claim to unpack to more than weights could."""
    if declared > max(FREELY_UNPACKED, UNPACKED_FACTOR * stored) or declared > FILE_LIMIT:
        raise WeightsError(f"{stored:,} bytes claim to unpack to {declared:,}.")


def open_archive(content: bytes) -> zipfile.ZipFile:
    """A zip archive whose members are safe to read.

    Raises:
        WeightsError: too many members, duplicate names, a compression other than deflate, or more
            bytes than `check_unpacked` allows.
        zipfile.BadZipFile: or other errors, for a damaged archive.
    """
    end = content.rfind(_END)
    if end < 0 or len(content) < end + 22:
        raise WeightsError("not a zip archive, or cut off.")
    # zipfile creates an object per entry before they can be counted.
    is_large = content[max(end - 20, 0) :].startswith(_END_64)
    if is_large or int.from_bytes(content[end + 12 : end + 16], "little") > DIRECTORY_LIMIT:
        raise WeightsError("an archive with more members than weights have.")
    archive = zipfile.ZipFile(io.BytesIO(content))
    members = archive.infolist()
    names = {each.filename for each in members}
    if len(members) > MAX_MEMBERS or len(names) != len(members):
        raise WeightsError("an archive with too many members, or two of the same name.")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError("an archive with a compression other than deflate.")
    check_unpacked(sum(each.file_size for each in members), len(content))
    return archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes; WeightsError unless their number is what the archive states."""
    info = archive.getinfo(name)
    content = archive.read(info)
    if len(content) != info.file_size:
        raise WeightsError(f"the member {name!r} does not have the size that the archive states.")
    return content


def listed(faults: list[str]) -> list[str]:
    """The first faults, and how many more there are."""
    more = len(faults) - LISTED_FAULTS
    return [*faults[:LISTED_FAULTS], *([f"and {more:,} more"] if more > 0 else [])]
