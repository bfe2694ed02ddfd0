"""ONNX Runtime as an engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pplcnet.runtime.engines.failures import speaking_clearly
from pplcnet.system import telemetry

telemetry.switch_off()
import onnxruntime  # noqa: E402

__all__ = ["OnnxRuntimeEngine", "open_engine"]

NAME = "ONNX Runtime"


def open_engine(
    content: bytes, *, precision: str, threads: int | None, streams: int
) -> OnnxRuntimeEngine:
    """As `runtime.engine.open_engine`; a session takes runs from any number of threads."""
    return OnnxRuntimeEngine(content, threads=threads)


class OnnxRuntimeEngine:
    """Runs an exported ONNX file on the CPU."""

    def __init__(self, content: bytes, *, threads: int | None = None) -> None:
        """Load the ONNX file in `content`; `threads` inside one run, None for one a core."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        if threads == 1:
            # With one thread there is nobody to wait for; spinning would only heat the core.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with speaking_clearly(NAME, "load"):
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            (self._input,) = self._session.get_inputs()
            (self._output,) = self._session.get_outputs()

    @property
    def batch_size(self) -> int | None:
        """The fixed batch of the exported graph, None when it is dynamic."""
        size = self._input.shape[0]
        return size if isinstance(size, int) else None

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, height, width, 3) uint8 RGB to logits (N, classes) float32."""
        with speaking_clearly(NAME, "run"):
            logits: NDArray[np.float32] = self._session.run(
                [self._output.name], {self._input.name: images}
            )[0]
        return logits
