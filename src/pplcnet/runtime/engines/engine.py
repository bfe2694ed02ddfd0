"""The engine protocol, which every inference engine implements for `Model`; and the engines."""

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
    """One loaded network. Thread-safe."""

    @property
    def batch_size(self) -> int | None:
        """Images per run; None if any number is allowed."""
        ...

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """(N, height, width, 3) uint8 RGB to the network's outputs, each (N, ...) float32."""
        ...


class EngineKind(NamedTuple):
    """An engine that can run a bundle."""

    module: str
    """The library it needs."""
    extra: str
    """The extra that installs it; "" if it comes with pplcnet itself."""
    ending: str
    """Extension of the files that it runs."""
    precisions: tuple[str, ...]
    """Precisions in which it can compute a float32 network."""


ENGINES: Mapping[str, EngineKind] = {
    "onnxruntime": EngineKind("onnxruntime", "", ".onnx", ("float32",)),
    "openvino": EngineKind("openvino", "openvino", ".onnx", ("float32", "bfloat16")),
    "litert": EngineKind("ai_edge_litert", "litert", ".tflite", ("float32",)),
}


def installed_engines() -> list[str]:
    """The engines whose library is installed, found without importing it."""
    return [name for name, kind in ENGINES.items() if importlib.util.find_spec(kind.module)]


def run_padded(engine: Engine, images: NDArray[np.uint8]) -> Outputs:
    """Outputs (N, ...) for N >= 1 prepared images, whatever the engine's batch.

    If the batch is fixed, the last run is padded with the first image.
    """
    batch = engine.batch_size
    if batch is None or batch == len(images):
        return engine.run(images)
    missing = -len(images) % batch
    padded = np.concatenate([images, np.repeat(images[:1], missing, axis=0)]) if missing else images
    parts = [engine.run(padded[at : at + batch]) for at in range(0, len(padded), batch)]
    return {name: each[: len(images)] for name, each in join_outputs(parts).items()}


def run_each(engine: Engine, images: list[NDArray[np.uint8]]) -> Iterator[Outputs]:
    """Yield the outputs for each image; runs several at once if the network has a fixed batch."""
    batch = engine.batch_size or 1
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        outputs = run_padded(engine, np.stack(some))
        for at in range(len(some)):
            yield {name: each[at] for name, each in outputs.items()}


def join_outputs(parts: Sequence[Outputs]) -> Outputs:
    """Concatenate the outputs of one or more runs along the images."""
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
        precision: to compute in: "float32", "bfloat16", or "int8" for a quantised file.
        threads: within one run; None for one per core.
        streams: concurrent runs, from as many threads of the caller.
        sizes: required input and outputs, if a manifest gives them. Without it,
            outputs keep their names in the file.
        outputs: those of `sizes` that are needed; None for all. An ONNX file is cut to them, and
            is then as fast as a file without others. LiteRT computes the others too, and so does
            every engine for a trusted network.
        trusted: load any network, with no checks but the engine's own.

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
