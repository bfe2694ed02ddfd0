"""ONNX Runtime as an engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pplcnet.runtime.engines.failures import clear_errors
from pplcnet.runtime.engines.names import output_names
from pplcnet.system import telemetry
from pplcnet.tasks.task import Outputs

telemetry.switch_off()
import onnxruntime  # noqa: E402

__all__ = ["OnnxRuntimeEngine", "open_engine"]

NAME = "ONNX Runtime"


def open_engine(
    content: bytes,
    *,
    precision: str,
    threads: int | None,
    streams: int,
    outputs: tuple[str, ...] | None,
) -> OnnxRuntimeEngine:
    """As `runtime.engines.engine.open_engine`; any number of threads may run one session."""
    return OnnxRuntimeEngine(content, threads=threads, outputs=outputs)


class OnnxRuntimeEngine:
    """Runs an exported ONNX file on the CPU."""

    def __init__(
        self,
        content: bytes,
        *,
        threads: int | None = None,
        outputs: tuple[str, ...] | None = None,
    ) -> None:
        """Load an ONNX file.

        Args:
            content: the file.
            threads: within one run; None for one per core.
            outputs: as in `runtime.engines.names.output_names`.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        if threads == 1:
            # With one thread there is nothing to wait for; spinning would only heat the core.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with clear_errors(NAME, "load"):
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            (self._input,) = self._session.get_inputs()
            self._outputs = [each.name for each in self._session.get_outputs()]
        self._names = output_names(self._outputs, outputs)

    @property
    def batch_size(self) -> int | None:
        """The fixed batch of the exported graph; None if it is dynamic."""
        size = self._input.shape[0]
        return size if isinstance(size, int) else None

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """(N, height, width, 3) uint8 RGB to the network's outputs, each (N, ...) float32."""
        with clear_errors(NAME, "run"):
            arrays = self._session.run(self._outputs, {self._input.name: images})
        return dict(zip(self._names, arrays, strict=True))
