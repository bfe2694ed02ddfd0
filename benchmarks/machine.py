"""Describe the machine of a measurement in one line."""

from __future__ import annotations

import platform
from importlib import metadata

from pplcnet.system.processor import processor_name


def describe_machine(*packages: str) -> str:
    """Processor, cores, Python, and the versions of some packages."""
    versions = []
    for name in packages or ("numpy", "keras", "onnxruntime"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return f"{processor_name()}, Python {platform.python_version()}, {', '.join(versions)}"
