"""LiteRT (TensorFlow Lite) as an engine."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from pplcnet.runtime.engines.failures import clear_errors
from pplcnet.runtime.engines.names import output_names
from pplcnet.system.processor import available_cores
from pplcnet.tasks.task import Outputs

__all__ = ["LiteRtEngine", "open_engine"]

NAME = "LiteRT"


def open_engine(
    content: bytes,
    *,
    precision: str,
    threads: int | None,
    streams: int,
    outputs: tuple[str, ...] | None,
) -> LiteRtEngine:
    """As `runtime.engines.engine.open_engine`."""
    return LiteRtEngine(content, threads=threads, outputs=outputs)


class LiteRtEngine:
    """Runs an exported `.tflite` file on the CPU, through XNNPACK."""

    def __init__(
        self,
        content: bytes,
        *,
        threads: int | None = None,
        outputs: tuple[str, ...] | None = None,
    ) -> None:
        """Load a `.tflite` file.

        Args:
            content: the file.
            threads: within one run; None for one per core.
            outputs: their names in the file's order, since the file does not keep the exported
                names; None for the names in the file.
        """
        self._content = content
        self._threads = threads or available_cores()
        # An interpreter serves one caller at a time, so each thread has its own.
        self._of_thread = threading.local()
        interpreter = self._interpreter()
        given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()
        self._batch_size, self._input = int(given["shape"][0]), given["index"]
        names = output_names([str(each["name"]) for each in answered], outputs, is_ordered=True)
        self._outputs = dict(zip(names, (each["index"] for each in answered), strict=True))

    @property
    def batch_size(self) -> int | None:
        """The fixed batch of the exported graph."""
        return self._batch_size

    def _interpreter(self) -> Any:
        interpreter = getattr(self._of_thread, "interpreter", None)
        if interpreter is None:
            with clear_errors(NAME, "load"):
                interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
                interpreter.allocate_tensors()
            self._of_thread.interpreter = interpreter
        return interpreter

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """(N, height, width, 3) uint8 RGB to the network's outputs, each (N, ...) float32."""
        interpreter = self._interpreter()
        with clear_errors(NAME, "run"):
            interpreter.set_tensor(self._input, images)
            interpreter.invoke()
            return {name: interpreter.get_tensor(at) for name, at in self._outputs.items()}
