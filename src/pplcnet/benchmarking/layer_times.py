"""Time of each operator of a network, from the engines' own profilers."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.system import telemetry

__all__ = ["LayerTime", "time_layers"]

RUNS = 200


class LayerTime(NamedTuple):
    """One operator as the engine runs it; it may fuse several of the file's."""

    name: str
    operator: str
    """The engine's name for this kind of operator."""
    primitive: str
    """The engine's name for the kernel that ran: "brgconv_avx512_amx_1x1_bf16"."""
    microseconds: float
    """Median over the runs."""


def time_layers(
    engine: str, content: bytes, image: NDArray[np.uint8], *, precision: str, threads: int
) -> list[LayerTime]:
    """Run a network with the profiler on; returns its operators in execution order.

    Args:
        engine: "openvino" or "onnxruntime".
        content: the network's file.
        image: one prepared image (1, height, width, 3).
        precision: as in `open_engine`.
        threads: within one run.
    """
    telemetry.switch_off()
    if engine == "openvino":
        return _openvino(content, image, precision, threads)
    return _onnxruntime(content, image, threads)


def _openvino(
    content: bytes, image: NDArray[np.uint8], precision: str, threads: int
) -> list[LayerTime]:
    from pplcnet.runtime.engines.openvino import PRECISIONS, core, openvino

    settings = {
        "PERF_COUNT": True,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    network = core().compile_model(content, device_name="CPU", config=settings, weights=b"")
    request = network.create_infer_request()
    request.set_input_tensor(openvino.Tensor(image))
    times: dict[str, list[float]] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for run in range(RUNS + 3):
        request.infer()
        for each in request.profiling_info if run >= 3 else ():
            if each.status == openvino.ProfilingInfo.Status.EXECUTED:
                name = each.node_name
                times.setdefault(name, []).append(each.real_time.total_seconds() * 1e6)
                kinds[name] = (each.node_type, each.exec_type)
    return _medians(times, kinds)


def _onnxruntime(content: bytes, image: NDArray[np.uint8], threads: int) -> list[LayerTime]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        for _ in range(RUNS):
            session.run(None, {given.name: image})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, list[float]] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(float(event["dur"]))
            kind = event["args"]["op_name"]
            kinds[name] = (kind, kind)
    return _medians(times, kinds)


def _medians(
    times: Mapping[str, list[float]], kinds: Mapping[str, tuple[str, str]]
) -> list[LayerTime]:
    return [LayerTime(name, *kinds[name], statistics.median(each)) for name, each in times.items()]
