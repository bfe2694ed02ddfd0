"""No usage statistics: other libraries' telemetry is switched off before they are imported."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["switch_off"]


def switch_off() -> None:
    """Keep engines from sending usage statistics and from writing into the home folder.

    Call it before ONNX Runtime, OpenVINO or NNCF is imported. ONNX Runtime (1.32, for example)
    uploads by itself. OpenVINO and NNCF send through the package `openvino_telemetry` and do
    without it where it is not installed, which is what they are made to believe here.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["NNCF_CI"] = "1"
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    loaded = modules.get("onnxruntime")
    if loaded is not None:  # somebody else imported it
        loaded.disable_telemetry_events()
