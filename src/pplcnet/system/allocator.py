"""The C library's memory allocator, told to keep what is freed."""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["keep_freed_memory"]

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# The largest that glibc takes.
MOST_IN_HEAP = 32 << 20
MOST_KEPT = 64 << 20
# Who has set one of these has made up their mind.
SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> bool:
    """Let glibc use freed memory again in place of returning it to the system; once a process.

    A decoded photo of half a megabyte is above malloc's first threshold. Its memory, and that of
    the copies that resizing makes, comes from the system and goes back for every photo, and each of
    its pages is zeroed and mapped anew: a fifth of the time from a photo of 500x375 to its label.
    At most 64 MB stay with each thread. Nothing changes where the environment sets the thresholds,
    or with other C libraries.

    Returns:
        Whether it was set.
    """
    if any(name in os.environ for name in SETTINGS):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - others have mallopt too, with other numbers
        set_option = library.mallopt
    except (AttributeError, OSError, TypeError):  # another C library; Windows takes no None
        return False
    return bool(
        set_option(M_MMAP_THRESHOLD, MOST_IN_HEAP) and set_option(M_TRIM_THRESHOLD, MOST_KEPT)
    )
