"""ONNX files, mutated: refused, or run by every engine that is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pplcnet.runtime.checks.network import check_network
from pplcnet.runtime.checks.onnx_reading import read_onnx
from pplcnet.runtime.engines.engine import open_engine
from tests.fuzzing.harness import fuzz

_ENGINES = [each for each in ("onnxruntime", "openvino") if importlib.util.find_spec(each)]
_seen: set[str] = set()
"""Graphs that have been run: weights alone change nothing that an engine could stumble over."""


def read(path: Path) -> None:
    content = path.read_bytes()
    check_network(content, ".onnx")
    network = read_onnx(content)
    graph = repr((vars(network) | {"nodes": [vars(node) for node in network.nodes]}).items())
    if graph in _seen:
        return
    _seen.add(graph)
    batch, height, width, _ = network.inputs["images"][1]
    images = np.zeros((batch or 1, height, width, 3), np.uint8)
    for engine in _ENGINES:
        outputs = open_engine(engine, content, threads=1).run(images)
        assert [len(each) for each in outputs.values()] == [len(images)]


@pytest.mark.slow
def test_mutated_networks_are_refused_or_run(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from pplcnet.runtime.checks.onnx_shapes import OPERATORS
    from tests.runtime.networks import small_network

    seeds = {"fixed": small_network().SerializeToString()}
    seeds["any"] = small_network("N").SerializeToString()
    described = onnx.shape_inference.infer_shapes(small_network(2))
    seeds["described"] = described.SerializeToString()
    operators = [*OPERATORS, "Loop", "Pad", "If", "Tile", "Expand", "ConstantOfShape"]
    fuzz(read, seeds, tmp_path, suffix=".onnx", tokens=[each.encode() for each in operators])
