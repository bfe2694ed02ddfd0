"""Read the photos in a tar file as one stream."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, Self

from pplcnet.errors import ImageError, printable
from pplcnet.imaging.files import MAX_FILE_BYTES
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.photo_names import is_photo

__all__ = ["photos_in_tar"]


class _Member(tarfile.TarInfo):
    """Makes a damaged header an error; tarfile would take it for the end of the file."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):  # no more bytes, or the zeros at the end
                raise
            raise tarfile.ReadError(str(error)) from error


def photos_in_tar(file: IO[bytes], name: str) -> Iterator[tuple[str, bytes | ImageError]]:
    """Yield the path, TAR/MEMBER, of each photo and its bytes or error, in the order stored.

    Members without a photo's extension, hidden ones and links are skipped.

    Args:
        file: read once, from start to end.
        name: name of the tar file.

    Raises:
        StorageFailure: the tar file is damaged or incomplete.
    """
    try:
        with tarfile.open(fileobj=file, mode="r|", tarinfo=_Member) as tar:
            for member in tar:
                tar.members.clear()  # type: ignore[attr-defined] # tarfile keeps all it has seen
                if not member.isfile() or not is_photo(member.name):
                    continue
                path = f"{name}/{member.name.removeprefix('./')}"
                path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                if member.size > MAX_FILE_BYTES:
                    reason = (
                        f"the file has {member.size:,} bytes; up to {MAX_FILE_BYTES:,} are read."
                    )
                    yield path, ImageError(path, reason)
                    continue
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101 - it is a file
                yield path, content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageFailure(f"{printable(name)}: {error.strerror or error}.") from error
        raise StorageFailure(f"{printable(name)}: is damaged or incomplete ({error}).") from error
