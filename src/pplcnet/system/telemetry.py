"""No usage statistics: switches off other libraries' telemetry before they are imported."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["switch_off"]


def switch_off() -> None:
    """Keep engines from sending usage statistics and from writing to the home folder.

    Call it before importing ONNX Runtime, OpenVINO or NNCF. ONNX Runtime (1.32, for example)
    uploads on its own. OpenVINO and NNCF send through the package `openvino_telemetry` and work
    without it if it is not installed; this function makes it look missing to them.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["NNCF_CI"] = "1"
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    loaded = modules.get("onnxruntime")
    if loaded is not None:  # somebody else imported it
        loaded.disable_telemetry_events()
