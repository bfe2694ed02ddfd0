"""What the recorded answers of kept bundles are compared by."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

__all__ = ["PROCESSOR", "machine", "weights_digest"]

PROCESSOR = "Example CPU 9000 (family 99, model 1), 3 cores"
"""The made-up processor that the kept bundles were tuned for."""


def machine() -> str:
    """Processor, its instruction sets and ONNX Runtime: the same means the same bits."""
    facts: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    flags = " ".join(sorted((facts.get("flags") or facts.get("Features") or "").split()))
    digest = hashlib.sha256(flags.encode()).hexdigest()[:12]
    name = facts.get("model name") or platform.processor() or platform.machine()
    family = f"family {facts.get('cpu family')}, model {facts.get('model')}"
    versions = f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"
    return f"{name} ({family}, instructions {digest}), {versions}"


def weights_digest(model: Any) -> str:
    """Of every weight's bytes, whatever their order in the model."""
    each = sorted(hashlib.sha256(np.ascontiguousarray(w)).hexdigest() for w in model.get_weights())
    return hashlib.sha256("".join(each).encode()).hexdigest()
