"""Another framework in a separate worker process, which answers one request at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pplcnet.errors import InputError, UnknownNameError

__all__ = ["OTHERS", "AnsweringProcess", "OtherProcess"]

# Name to the module that runs it, and the library it needs.
OTHERS = {
    "keras-predict": ("keras_runner", "keras"),
    "tf-function": ("keras_runner", "tensorflow"),
    "timm": ("timm_runner", "timm"),
    "paddle": ("paddle_runner", "paddle"),
}
SOURCE = Path(__file__).parents[3]


class AnsweringProcess:
    """A process that sends a greeting and then answers requests, one JSON line each way."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start `command`; its first line is kept as `greeting`.

        Args:
            name: the process's name in error messages.

        Raises:
            InputError: it cannot be started, or ends before its first line.
        """
        self._name = name
        self._notes = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the interpreter is the user's choice
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._notes,
                text=True,
                env=dict(environment),
            )
        except OSError as error:
            self._notes.close()
            raise InputError(f"{command[0]}: cannot be started ({error.strerror}).") from error
        try:
            self.greeting = self._answer("while starting")
        except InputError:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send a request and return the answer; InputError if the process has ended."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        # Sending to a process that has ended fails; the missing answer is reported instead.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._answer("while working")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def close(self) -> None:
        """End the process, unless it has already ended."""
        self._end()
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        self._process.stdout.close()
        self._notes.close()

    def _end(self) -> int:
        """Tell the process that no more requests come, and wait for its exit code."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        with contextlib.suppress(OSError):  # nobody may be left to read the unsent bytes
            self._process.stdin.close()
        return self._process.wait()

    def _answer(self, when: str) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        for line in self._process.stdout:
            try:
                return json.loads(line)
            except ValueError:  # a library that prints to stdout
                continue
        code = self._end()
        self._notes.seek(0)
        said = self._notes.read().decode(errors="replace").strip().splitlines()
        raise InputError(
            f"{self._name} ended {when} (exit code {code}); its last output: "
            f"{said[-1].strip() if said else 'nothing'}. Fix this, or leave it out."
        )


class OtherProcess:
    """A runner of `pplcnet.benchmarking.others`."""

    def __init__(self, name: str, *, threads: int, python: str | None = None) -> None:
        """Start the framework `name` of `OTHERS`.

        Args:
            python: an interpreter (3.11 or later) that has the framework; None for this one. Only
                numpy is needed in addition.

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
        interpreter = python or sys.executable
        command = [interpreter, "-m", f"pplcnet.benchmarking.others.{module}", name, str(threads)]
        self._process = AnsweringProcess(
            f"{name} ({library} in {interpreter})", command, environment
        )
        self.version = str(self._process.greeting["version"])

    def load(self, network: str, image_size: tuple[int, int]) -> bool:
        """Build a network for one image of (height, width); returns whether the framework has it.

        Raises:
            InputError: the framework has ended.
        """
        return bool(self._process.ask({"load": network, "image_size": image_size}))

    def run(self, network: str) -> float:
        """Run one image through a loaded network; returns milliseconds measured in that process.

        Raises:
            InputError: the framework has ended.
        """
        return float(self._process.ask({"run": network}))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._process.close()
