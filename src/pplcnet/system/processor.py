"""This machine's processor: its name, and how many of its cores this process may use."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Collection
from functools import cache
from pathlib import Path

__all__ = ["available_cores", "has_bfloat16", "processor_features", "processor_name"]


CGROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores that this process may use; a container may limit them below what the machine has.

    A quota of processor time (Linux control groups, as set by `docker run --cpus`) counts as that
    many cores, rounded up: more threads would only get in each other's way.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, _quota_cores() or cores)


def _quota_cores() -> int | None:
    """The control group's CPU quota in cores, at least 1; None without a limit."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        if (CGROUPS / "cpu.max").is_file():  # version 2: "max 100000" or "150000 100000"
            quota, period = (CGROUPS / "cpu.max").read_text().split()
            return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))
        given = int((CGROUPS / "cpu" / "cpu.cfs_quota_us").read_text())  # version 1: -1 for none
        period_us = int((CGROUPS / "cpu" / "cpu.cfs_period_us").read_text())
        return None if given <= 0 else max(1, math.ceil(given / period_us))
    return None


@cache
def _cpuinfo() -> dict[str, str]:
    """The first processor's entries in Linux' /proc/cpuinfo; empty on other systems."""
    path = Path("/proc/cpuinfo")
    facts: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.strip():
                break
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    return facts


def processor_features() -> frozenset[str]:
    """Instruction sets by their Linux names ("avx512_bf16"); empty if unknown."""
    facts = _cpuinfo()
    return frozenset((facts.get("flags") or facts.get("Features") or "").split())


def has_bfloat16(features: Collection[str]) -> bool:
    """Whether a processor with these instruction sets computes in bfloat16 natively."""
    return "avx512_bf16" in features or "amx_bf16" in features


def processor_name() -> str:
    """Identifies the processor, including the number of usable cores.

    Family and model are included because a virtual machine's model name can hide the processor.
    """
    facts = _cpuinfo()
    name = facts.get("model name") or platform.processor() or platform.machine()
    if facts.get("cpu family"):
        name += f" (family {facts['cpu family']}, model {facts.get('model', '?')})"
    return f"{name}, {available_cores()} cores"
