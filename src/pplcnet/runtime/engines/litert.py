"""LiteRT (TensorFlow Lite) as an engine."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from pplcnet.runtime.engines.failures import speaking_clearly
from pplcnet.system.processor import available_cores

__all__ = ["LiteRtEngine", "open_engine"]

NAME = "LiteRT"


def open_engine(
    content: bytes, *, precision: str, threads: int | None, streams: int
) -> LiteRtEngine:
    """As `runtime.engine.open_engine`."""
    return LiteRtEngine(content, threads=threads)


class LiteRtEngine:
    """Runs an exported `.tflite` file on the CPU, through XNNPACK."""

    def __init__(self, content: bytes, *, threads: int | None = None) -> None:
        """Load the file in `content`; `threads` inside one run, None for one a core."""
        self._content = content
        self._threads = threads or available_cores()
        # An interpreter takes one caller at a time: each thread has its own.
        self._of_thread = threading.local()
        self._batch_size = int(self._interpreter().get_input_details()[0]["shape"][0])

    @property
    def batch_size(self) -> int | None:
        """The fixed batch of the exported graph."""
        return self._batch_size

    def _interpreter(self) -> Any:
        interpreter = getattr(self._of_thread, "interpreter", None)
        if interpreter is None:
            with speaking_clearly(NAME, "load"):
                interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
                interpreter.allocate_tensors()
            self._of_thread.interpreter = interpreter
        return interpreter

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, height, width, 3) uint8 RGB to logits (N, classes) float32."""
        interpreter = self._interpreter()
        with speaking_clearly(NAME, "run"):
            (given,) = interpreter.get_input_details()
            (answered,) = interpreter.get_output_details()
            interpreter.set_tensor(given["index"], images)
            interpreter.invoke()
            logits: NDArray[np.float32] = interpreter.get_tensor(answered["index"])
        return logits
