"""The limits of this machine: rates of a large matrix product and of copying memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pplcnet.runtime.engines.engine import installed_engines
from pplcnet.system import telemetry

__all__ = ["Limits", "measure_limits"]

SIDE = 1024
MEASURED_S = 1.0
"""Seconds of matrix products for each engine and precision."""
COPY_BYTES = 64 << 20
# Source and target together fit into the second-level cache of any processor of the last ten years.
CACHE_BYTES = 64 << 10


class Limits(NamedTuple):
    """Rates that no network on this machine exceeds by much."""

    threads: int
    gflops: dict[str, float]
    """Precision to 10^9 floating-point operations per second in a matrix product."""
    copy_gbytes: float
    """10^9 bytes per second, read and written together."""
    cache_gbytes: float
    """The same, within each core's own cache."""

    def least_ms(self, macs: int, parameters: int, precision: str) -> float | None:
        """Lower bound on a network's milliseconds, from its arithmetic or from reading its weights.

        Roofline (Williams et al. 2009, doi 10.1145/1498765.1498785), counting only the weights as
        traffic, at the rate of the caches, where small networks' weights stay. None if the
        precision's rate was not measured.
        """
        rate = self.gflops.get(precision)
        if rate is None:
            return None
        size = {"float32": 4, "bfloat16": 2}[precision]
        return 1000 * max(2 * macs / (rate * 1e9), parameters * size / (self.cache_gbytes * 1e9))


def measure_limits(threads: int) -> Limits:
    """Measure with the engines' own matrix product and by copying; takes a few seconds."""
    weights = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    content = _matrix_product(weights).SerializeToString()
    rates = {"float32": _rate(_onnxruntime(content, weights, threads))}
    if "openvino" in installed_engines():
        for precision in ("float32", "bfloat16"):
            rate = _rate(_openvino(content, weights, threads, precision))
            rates[precision] = max(rate, rates.get(precision, 0.0))
    return Limits(threads, rates, _copy_rate(threads), _cache_rate(threads))


def _matrix_product(weights: np.ndarray) -> onnx.ModelProto:
    shape = list(weights.shape)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["given", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, shape)],
        initializer=[numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _onnxruntime(content: bytes, given: np.ndarray, threads: int) -> Callable[[], object]:
    telemetry.switch_off()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"given": given})


def _openvino(
    content: bytes, given: np.ndarray, threads: int, precision: str
) -> Callable[[], object]:
    telemetry.switch_off()
    import openvino

    from pplcnet.runtime.engines.openvino import PRECISIONS, core

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
    }
    network = core().compile_model(content, device_name="CPU", config=settings, weights=b"")
    request = network.create_infer_request()
    request.set_input_tensor(openvino.Tensor(given))
    return lambda: request.infer()


def _rate(run: Callable[[], object]) -> float:
    """The best of many runs, in GFLOP/s: a limit is what is possible, not what is usual."""
    run()
    best, end = float("inf"), time.perf_counter() + MEASURED_S
    while (started := time.perf_counter()) < end:
        run()
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best / 1e9


def _copy_rate(threads: int) -> float:
    sources = [np.ones(COPY_BYTES // threads, np.uint8) for _ in range(threads)]
    targets = [np.empty_like(source) for source in sources]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(12):
            started = time.perf_counter()
            list(pool.map(np.copyto, targets, sources))
            best = min(best, time.perf_counter() - started)
    return 2 * COPY_BYTES / best / 1e9


def _cache_rate(threads: int) -> float:
    def copy() -> float:
        source, target = np.ones(CACHE_BYTES, np.uint8), np.empty(CACHE_BYTES, np.uint8)
        best = float("inf")
        for _ in range(20):
            started = time.perf_counter()
            for _ in range(100):
                np.copyto(target, source)
            best = min(best, time.perf_counter() - started)
        return 2 * 100 * CACHE_BYTES / best / 1e9

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: copy(), range(threads)))
