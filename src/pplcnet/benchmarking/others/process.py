"""Another framework in a process of its own, asked for one run at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pplcnet.errors import InputError, UnknownNameError

__all__ = ["OTHERS", "OtherProcess"]

# Name to the module that runs it, and the library that it needs.
OTHERS = {
    "keras-predict": ("keras_runner", "keras"),
    "tf-function": ("keras_runner", "tensorflow"),
    "timm": ("timm_runner", "timm"),
    "paddle": ("paddle_runner", "paddle"),
}
SOURCE = Path(__file__).parents[3]


class OtherProcess:
    """A runner of `pplcnet.benchmarking.others`; it speaks a JSON line each way."""

    def __init__(self, name: str, *, threads: int, python: str | None = None) -> None:
        """Start the framework `name` of `OTHERS`.

        Args:
            python: an interpreter (3.11 or later) that has the framework; None for this one. Only
                numpy is needed beside it.

        Raises:
            UnknownNameError: no such framework.
            InputError: it does not start there.
        """
        if name not in OTHERS:
            raise UnknownNameError("framework to compare with", name, OTHERS)
        module, library = OTHERS[name]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(
                each for each in (str(SOURCE), os.environ.get("PYTHONPATH")) if each
            ),
            "OMP_NUM_THREADS": str(threads),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [python or sys.executable, "-m", f"pplcnet.benchmarking.others.{module}"]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the interpreter is the user's choice
                [*command, name, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise InputError(f"{python}: cannot be started ({error.strerror}).") from error
        answer = self._answer()
        if not isinstance(answer, dict):
            self.close()
            raise InputError(
                f"{name} cannot be measured: {library} does not start in {command[0]}; "
                f"install it there, or leave {name} out."
            )
        self.version = str(answer["version"])

    def load(self, network: str, image_size: tuple[int, int]) -> bool:
        """Whether the framework has this network; it is built for one image."""
        return bool(self._ask({"load": network, "image_size": image_size}))

    def run(self, network: str) -> float:
        """One image through a network that was loaded; milliseconds, measured over there."""
        return float(self._ask({"run": network}))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        for line in self._process.stdout:
            try:
                return json.loads(line)
            except ValueError:  # a library that talks on stdout
                continue
        return None
