"""This machine's processor: its name, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from functools import cache
from pathlib import Path

__all__ = ["available_cores", "has_bfloat16", "processor_features", "processor_name"]


def available_cores() -> int:
    """Cores that this process may use, which a container may limit below what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of Linux' /proc/cpuinfo; empty elsewhere."""
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
    """Instruction sets as Linux names them ("avx512_bf16"); empty where it is not told."""
    facts = _cpuinfo()
    return frozenset((facts.get("flags") or facts.get("Features") or "").split())


def has_bfloat16(features: Collection[str]) -> bool:
    """Whether a processor with these instruction sets computes in bfloat16 itself."""
    return "avx512_bf16" in features or "amx_bf16" in features


def processor_name() -> str:
    """What tells this processor from another, with the cores that may be used.

    A virtual machine's model name can hide what it runs on, so that family and model are named.
    """
    facts = _cpuinfo()
    name = facts.get("model name") or platform.processor() or platform.machine()
    if facts.get("cpu family"):
        name += f" (family {facts['cpu family']}, model {facts.get('model', '?')})"
    return f"{name}, {available_cores()} cores"
