"""The engine protocol: what every inference engine offers to `Model`; and the engines."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import UnknownNameError, require
from pplcnet.runtime.checks.network import Sizes, check_network
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.system import telemetry
from pplcnet.tasks.task import Outputs

__all__ = [
    "ENGINES",
    "Engine",
    "EngineKind",
    "installed_engines",
    "join_outputs",
    "open_engine",
    "run_each",
    "run_padded",
]


class Engine(Protocol):
    """One loaded network. Safe to call from several threads at once."""

    @property
    def batch_size(self) -> int | None:
        """Images that one run takes; None when any number is fine."""
        ...

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """(N, height, width, 3) uint8 RGB to the network's outputs, each (N, ...) float32."""
        ...


class EngineKind(NamedTuple):
    """An engine that a bundle can be run with."""

    module: str
    """The library that has to be there."""
    extra: str
    """What installs it; "" for what comes with pplcnet itself."""
    ending: str
    """Of the files that it runs."""
    precisions: tuple[str, ...]
    """What it can compute a float32 network in."""


ENGINES: Mapping[str, EngineKind] = {
    "onnxruntime": EngineKind("onnxruntime", "", ".onnx", ("float32",)),
    "openvino": EngineKind("openvino", "openvino", ".onnx", ("float32", "bfloat16")),
    "litert": EngineKind("ai_edge_litert", "litert", ".tflite", ("float32",)),
}


def installed_engines() -> list[str]:
    """The engines whose library is there, without importing it."""
    return [name for name, kind in ENGINES.items() if importlib.util.find_spec(kind.module)]


def run_padded(engine: Engine, images: NDArray[np.uint8]) -> Outputs:
    """Outputs (N, ...) for N >= 1 prepared images, whatever batch the engine takes.

    Where it takes a fixed number, the last run is filled up with the first image.
    """
    batch = engine.batch_size
    if batch is None or batch == len(images):
        return engine.run(images)
    missing = -len(images) % batch
    padded = np.concatenate([images, np.repeat(images[:1], missing, axis=0)]) if missing else images
    parts = [engine.run(padded[at : at + batch]) for at in range(0, len(padded), batch)]
    return {name: each[: len(images)] for name, each in join_outputs(parts).items()}


def run_each(engine: Engine, images: list[NDArray[np.uint8]]) -> Iterator[Outputs]:
    """The outputs for each; several at once where the network was exported so, else one by one."""
    batch = engine.batch_size or 1
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        outputs = run_padded(engine, np.stack(some))
        for at in range(len(some)):
            yield {name: each[at] for name, each in outputs.items()}


def join_outputs(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of at least one run as those of one run for all of their images."""
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}


def open_engine(
    name: str,
    content: bytes,
    *,
    precision: str = "float32",
    threads: int | None = None,
    streams: int = 1,
    sizes: Sizes | None = None,
    outputs: Sequence[str] | None = None,
    trusted: bool = False,
) -> Engine:
    """Check a network, then load it.

    Args:
        name: a key of `ENGINES`.
        content: the network's file.
        precision: what to compute in: "float32", "bfloat16", or "int8" for a quantised file.
        threads: inside one run; None for one a core.
        streams: runs that will be made at once, from as many threads of the caller.
        sizes: what the network has to take and return, where a manifest says so. Without it,
            outputs have the names that they have in the file.
        outputs: those of `sizes` that are needed; None for all. An ONNX file is cut to them, and
            costs what a file with no others costs. LiteRT computes the others too, and so does
            every engine for a trusted network.
        trusted: give the engine any network, checked by nobody but the engine.

    Raises:
        UnknownNameError: no such engine.
        MissingDependencyError: its library is not installed.
        BundleError: the engine cannot load the network, or this project cannot have exported it.
    """
    kind = ENGINES.get(name)
    if kind is None:
        raise UnknownNameError("engine", name, ENGINES)
    if not trusted:
        check_network(content, kind.ending, sizes)
    telemetry.switch_off()
    if importlib.util.find_spec(kind.module) is None:
        require(kind.module, purpose=f"the engine {name}", extra=kind.extra)
    module = importlib.import_module(f"pplcnet.runtime.engines.{name}")
    names = tuple(sizes.outputs) if sizes else None
    if outputs is not None and kind.ending == ".onnx" and not trusted:
        content, names = cut_network(content, outputs), tuple(outputs)
    engine: Engine = module.open_engine(
        content,
        precision=precision,
        threads=threads,
        streams=streams,
        outputs=names,
    )
    return engine
