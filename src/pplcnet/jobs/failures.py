"""What can go wrong with one shard, and whether retrying may help."""

from __future__ import annotations

import errno

from pplcnet.errors import PPLCNetError, StorageError

__all__ = ["DISK_FULL", "StorageFailure", "describe_failure", "stops_the_job"]

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a disk that cannot take more data; retrying does not help."""


class StorageFailure(Exception):  # noqa: N818 - what happened
    """Storage did not answer, or not completely; retrying may help.

    It says nothing about the photo, so no row is written.
    """


def stops_the_job(error: Exception) -> bool:
    """Whether every other shard would fail in the same way: access denied, a full disk, a damaged
    bundle."""
    return isinstance(error, PPLCNetError)


def describe_failure(error: Exception) -> str:
    """One sentence for `failed/` and for the terminal."""
    if isinstance(error, StorageFailure | StorageError | PPLCNetError):
        return str(error)
    return f"{type(error).__name__}: {error}"
