"""Read one file of a bundle, from a folder or a .zip: bounded in size, without blocking."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from pplcnet.errors import BundleError

__all__ = ["FREE_BYTES", "open_regular", "read_member"]

# Limits of a .zip: a bundle has a handful of files, and trained weights hardly compress.
MAX_MEMBERS = 1000
MAX_DIRECTORY_BYTES = 1 << 20
FREE_BYTES = 64 << 20
MAX_RATIO = 20
_END = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_END_SIZE = 22
_MAX_COMMENT = 65535


def read_member(path: Path, name: str, limit: int) -> bytes:
    """The content of a file in the bundle at `path`; BundleError above `limit` bytes."""
    try:
        return _read_file(path, name, limit) if path.is_dir() else _read_zip(path, name, limit)
    except (FileNotFoundError, KeyError) as error:
        raise BundleError(f"{path}: not a complete bundle: {name} is missing.") from error
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error.strerror or error}).") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path}: neither a bundle folder nor a whole .zip ({error}).") from error


def _read_file(folder: Path, name: str, limit: int) -> bytes:
    with open_regular(folder / name) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise BundleError(_too_large(folder, name, limit))
        return file.read(limit + 1)


def _too_large(path: Path, name: str, limit: int) -> str:
    if name == "manifest.json":  # its limit is fixed; it records the sizes of the other files
        return f"{path}: {name} is larger than {limit:,} bytes."
    return f"{path}: {name} was changed: it is larger than the manifest says ({limit:,} bytes)."


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; reading a pipe or a device could block."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path}: is not a regular file.")
    return os.fdopen(descriptor, "rb")


def _read_zip(path: Path, name: str, limit: int) -> bytes:
    with open_regular(path) as file:
        _check_directory(path, file)
        with zipfile.ZipFile(file) as archive:
            found = [each for each in archive.infolist() if each.filename == name]
            if not found:
                inside = any(each.filename.endswith(f"/{name}") for each in archive.infolist())
                if inside:
                    raise BundleError(
                        f"{path}: {name} is in a folder inside the .zip; unpack it, and let "
                        "'pplcnet export BUNDLE --pack FILE.zip' pack the bundle."
                    )
                raise KeyError(name)
            info = found[0]
            if len(found) > 1:
                raise BundleError(f"{path}: {name} appears twice in the .zip.")
            if info.flag_bits & 1:
                raise BundleError(f"{path}: {name} is encrypted; bundles are not.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BundleError(f"{path}: {name} is compressed in a way that bundles never are.")
            if info.file_size > limit:
                raise BundleError(_too_large(path, name, limit))
            if info.file_size > max(FREE_BYTES, MAX_RATIO * info.compress_size):
                raise BundleError(
                    f"{path}: {name} unpacks to {info.file_size:,} bytes from "
                    f"{info.compress_size:,}, which no network does."
                )
            _check_overlap(path, archive, info)
            with archive.open(info) as member:
                return member.read(info.file_size)


def _check_overlap(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    end = info.header_offset + info.compress_size
    for each in archive.infolist():
        if each is not info and info.header_offset <= each.header_offset < end:
            raise BundleError(f"{path}: {info.filename} and {each.filename} overlap in the .zip.")


def _check_directory(path: Path, file: IO[bytes]) -> None:
    """Refuse a .zip whose central directory is too large, before reading it."""
    size = file.seek(0, os.SEEK_END)
    tail_size = min(size, _END_SIZE + _MAX_COMMENT + 20)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise zipfile.BadZipFile("it has no table of contents")
    entries, directory_bytes = struct.unpack_from("<HI", tail, at + 10)
    if _ZIP64_LOCATOR in tail[max(0, at - 20) : at]:
        raise BundleError(f"{path}: is a .zip of more than 4 GB, too large for a bundle.")
    if entries > MAX_MEMBERS or directory_bytes > MAX_DIRECTORY_BYTES:
        raise BundleError(f"{path}: has {entries:,} files; a bundle has a handful.")
