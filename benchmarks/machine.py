"""What machine a figure was measured on, in a line."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def processor_name() -> str:
    """The processor's own name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_machine(*packages: str) -> str:
    """Processor, cores, Python, and the versions of some packages."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = []
    for name in packages or ("numpy", "keras", "onnxruntime"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return (
        f"{processor_name()}, {cores} cores, Python {platform.python_version()}, "
        f"{', '.join(versions)}"
    )
