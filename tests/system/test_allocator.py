"""Freed memory is kept, which is counted in page faults of a process of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from pplcnet.system.allocator import SETTINGS

COUNT = """
import resource, sys
from pplcnet.system.allocator import keep_freed_memory
was_set = keep_freed_memory()
kept = [bytearray(600_000) for _ in range(4)]
del kept
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    first, second = bytearray(600_000), bytearray(500_000)
    del first, second
print(was_set, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _count(**environment: str) -> tuple[bool, int]:
    given = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env=given | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    was_set, faults = done.stdout.split()
    return was_set == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_memory_that_was_freed_is_used_again() -> None:
    was_set, faults = _count()
    assert was_set
    assert faults < 1000  # of 50 * 270 pages


def test_an_environment_that_sets_the_thresholds_is_left_alone() -> None:
    was_set, _ = _count(MALLOC_TRIM_THRESHOLD_="131072")
    assert not was_set
