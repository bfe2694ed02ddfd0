"""OpenVINO as an engine."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.runtime.engines.failures import clear_errors
from pplcnet.runtime.engines.names import output_names
from pplcnet.system import telemetry
from pplcnet.system.cache import cache_folder
from pplcnet.tasks.task import Outputs

telemetry.switch_off()


def _import_openvino() -> Any:
    """OpenVINO without its model converter, 0.08 s of imports, which is imported if used later."""
    converter = "openvino.tools.ovc"
    is_first = "openvino" not in sys.modules and converter not in sys.modules
    if is_first:
        modules: dict[str, Any] = sys.modules
        modules[converter] = None  # makes OpenVINO do without it, as if it were not installed
    try:
        import openvino
    finally:
        if is_first:
            del sys.modules[converter]
    if not hasattr(openvino, "convert_model"):

        def find(name: str) -> Any:
            if name != "convert_model":
                raise AttributeError(f"module 'openvino' has no attribute {name!r}")
            from openvino.tools.ovc import convert_model

            return convert_model

        openvino.__getattr__ = find
    return openvino


openvino = _import_openvino()

__all__ = ["PRECISIONS", "OpenVinoEngine", "core", "open_engine"]

NAME = "OpenVINO"
# OpenVINO's own names. In a quantised network, float32 is used for whatever is not quantised.
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32", "int8-bfloat16": "bf16"}


@cache
def core() -> Any:
    """The only OpenVINO core of this process.

    OpenVINO 2026.4 gives the thread an alternate signal stack with each core and removes it
    with the core. If several cores are released in a different order than created, a stack that
    no longer exists stays registered, and the next Ctrl-C is a segmentation fault.

    It must not pin threads to cores either: it sometimes leaves the calling thread pinned to one
    core, so everything that thread starts later has only one core too; and parallel processes would
    all use the first cores. Latency without pinning is within 2 %.
    """
    core = openvino.Core()
    core.set_property("CPU", {"ENABLE_CPU_PINNING": False})
    return core


def _writable_cache() -> Path | None:
    """The cache for compiled networks; None if it is not writable, as in a read-only container."""
    folder = cache_folder() / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _name(output: Any) -> str:
    """An output's name in the ONNX file, among the names of tensors that OpenVINO merged."""
    name = str(output.get_node().get_friendly_name()).removesuffix("/sink_port_0")
    return name if name in output.get_names() else str(output.get_any_name())


def open_engine(
    content: bytes,
    *,
    precision: str,
    threads: int | None,
    streams: int,
    outputs: tuple[str, ...] | None,
) -> OpenVinoEngine:
    """As `runtime.engines.engine.open_engine`."""
    return OpenVinoEngine(
        content, precision=precision, threads=threads, streams=streams, outputs=outputs
    )


class OpenVinoEngine:
    """Runs an exported ONNX file, quantised or not, on the CPU.

    The network as compiled for this processor is kept in the cache folder, so that the
    next process starts faster.
    """

    def __init__(
        self,
        content: bytes,
        *,
        precision: str = "float32",
        threads: int | None = None,
        streams: int = 1,
        outputs: tuple[str, ...] | None = None,
    ) -> None:
        """Load the ONNX file in `content`; arguments as `runtime.engines.engine.open_engine`."""
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "NUM_STREAMS": streams,
            "CACHE_MODE": "OPTIMIZE_SPEED",
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads * streams
        if (cache := _writable_cache()) is not None:
            settings["CACHE_DIR"] = str(cache)
        with clear_errors(NAME, "load", precision):
            self._network = core().compile_model(
                content, device_name="CPU", config=settings, weights=b""
            )
        size = self._network.input(0).get_partial_shape()[0]
        self._batch_size = size.get_length() if size.is_static else None
        self._names = output_names([_name(each) for each in self._network.outputs], outputs)
        self._of_thread = threading.local()

    @property
    def batch_size(self) -> int | None:
        """The fixed batch of the exported graph; None if it is dynamic."""
        return self._batch_size

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """(N, height, width, 3) uint8 RGB to the network's outputs, each (N, ...) float32."""
        with clear_errors(NAME, "run"):
            request = getattr(self._of_thread, "request", None)
            if request is None:
                request = self._of_thread.request = self._network.create_infer_request()
            pixels = np.ascontiguousarray(images)
            # OpenVINO does not accept read-only memory, such as Pillow's.
            shared = pixels.flags.writeable
            request.set_input_tensor(openvino.Tensor(pixels, shared_memory=shared))
            request.infer()
            # The next run reuses the tensors' memory.
            return {
                name: request.get_output_tensor(at).data.copy()
                for at, name in enumerate(self._names)
            }
