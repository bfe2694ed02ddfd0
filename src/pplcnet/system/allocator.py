"""Tell the C library's memory allocator to keep freed memory."""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["keep_freed_memory"]

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# The largest value that glibc accepts.
MOST_IN_HEAP = 32 << 20
MOST_KEPT = 64 << 20
# Users who set one of these have made their choice.
SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> bool:
    """Make glibc reuse freed memory instead of returning it to the system; once per process.

    A decoded photo of half a megabyte exceeds malloc's initial threshold. Its memory, and that of
    the copies made by resizing, is taken from and returned to the system for every photo, and each
    of its pages is zeroed and mapped anew: a fifth of the time from a 500x375 photo to its label.
    At most 64 MB stay with each thread. Nothing changes if the environment sets the thresholds,
    or with other C libraries.

    Returns:
        Whether the thresholds were set.
    """
    if any(name in os.environ for name in SETTINGS):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - others have mallopt too, with other numbers
        set_option = library.mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    return bool(
        set_option(M_MMAP_THRESHOLD, MOST_IN_HEAP) and set_option(M_TRIM_THRESHOLD, MOST_KEPT)
    )
