"""Recognises PicoDet's convolutions in an ONNX file by how they are connected.

Exported networks have numbers instead of names. But no two convolutions of PicoDet share kernel,
stride and inputs, so these identify each one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.models.boxes import BINS
from pplcnet.models.catalog import DETECTOR_STRIDES, DETECTORS, Detector
from pplcnet.tasks.detection.head import build_picodet
from pplcnet.weights.onnx_files import Convolution, read_onnx_convolutions

__all__ = ["DetectorGraph", "read_detector_graph"]

ROW_CLASSES = 80
"""The number of classes that the catalog's parameter counts are for."""
SCORES = {
    *(f"head_head_cls{level}" for level in range(len(DETECTOR_STRIDES))),
    *(f"head_cls_align_{level}_pwconv" for level in range(len(DETECTOR_STRIDES))),
}
BUILT_SIZE = 64
"""Pixels; the convolutions are the same at every size."""


class DetectorGraph(NamedTuple):
    """A recognised detector."""

    name: str
    """Its name in the catalog."""
    tensors: dict[str, np.ndarray]
    """A kernel (O, I, H, W) and a bias for each convolution, with BatchNorm folded in."""
    options: dict[str, Any]
    """num_classes, and image_size if the file has one."""


class _Place(NamedTuple):
    """What distinguishes a convolution from all others of its network."""

    shape: tuple[int, ...]
    """The kernel's shape, (O, I / groups, H, W)."""
    stride: tuple[int, int]
    groups: int
    parents: frozenset[int]
    """Numbers of the places of the convolutions that its input is computed from."""
    is_score: bool
    """For the last ones: true for classes and alignment, false for the sides of boxes."""


def read_detector_graph(path: Path) -> DetectorGraph:
    """Read PicoDet from PaddleDetection's ONNX file, with or without suppression inside.

    Raises:
        WeightsError: unreadable, or another network.
    """
    file = read_onnx_convolutions(path)
    graph = file.convolutions
    classes = _class_count(graph)
    numbers: dict[_Place, int] = {}
    found = _number(graph, numbers)
    name, layers = "", dict[int, str]()
    if classes is not None:
        name = _nearest(graph, classes)
        layers = _layers(build_picodet(name, classes=classes, image_size=BUILT_SIZE), numbers)
    if classes is None or sorted(layers) != sorted(found):
        raise WeightsError(
            f"{path}: is not PicoDet as PaddleDetection exports it, the only network that is read "
            "from ONNX; give the weights file or the bundle that it was exported from."
        )
    size = {} if file.image_size is None else {"image_size": file.image_size}
    tensors = dict(_tensors(path, graph, [layers[number] for number in found]))
    return DetectorGraph(name, tensors, {"num_classes": classes, **size})


def _tensors(
    path: Path, graph: Sequence[Convolution], names: Sequence[str]
) -> Iterator[tuple[str, np.ndarray]]:
    for name, each in zip(names, graph, strict=True):
        if each.bias is None:
            raise WeightsError(
                f"{path}: its BatchNorms are not folded into the convolutions; simplify it first: "
                "python -m onnxsim BEFORE.onnx AFTER.onnx"
            )
        # Convolutions without BatchNorm keep the original's name.
        path_in_original = name.replace("head_head_", "head.head_")
        yield f"{path_in_original}.weight", each.weight
        yield f"{path_in_original}.bias", each.bias


def _last(graph: Sequence[Convolution]) -> set[int]:
    """Indices of the convolutions that no other depends on."""
    return {*range(len(graph))}.difference(*(each.parents for each in graph))


def _class_count(graph: Sequence[Convolution]) -> int | None:
    """The last convolutions' channel count that is neither sides nor alignment; None if none."""
    levels = len(DETECTOR_STRIDES)
    channels = Counter(graph[at].weight.shape[0] for at in _last(graph))
    channels.subtract({4 * BINS: levels, 1: levels})
    rest = {count: times for count, times in channels.items() if times}
    return next(iter(rest)) if list(rest.values()) == [levels] else None


def _nearest(graph: Sequence[Convolution], classes: int) -> str:
    """The detector with the nearest number of parameters: the only possible match."""
    found = sum(each.weight.size for each in graph)

    def difference(row: Detector) -> int:
        per_class = len(DETECTOR_STRIDES) * (row.channels + 1)
        return abs(row.parameters + (classes - ROW_CLASSES) * per_class - found)

    return min(DETECTORS.values(), key=difference).name


def _number(graph: Sequence[Convolution], numbers: dict[_Place, int]) -> list[int]:
    """The number of each convolution's place; new places are added to `numbers`."""
    last = _last(graph)
    found: list[int] = []
    for at, each in enumerate(graph):
        parents = frozenset(found[parent] for parent in each.parents)
        is_score = at in last and each.feeds_sigmoid
        place = _Place(each.weight.shape, each.stride, each.groups, parents, is_score)
        found.append(numbers.setdefault(place, len(numbers)))
    return found


def _layers(network: keras.Model, numbers: dict[_Place, int]) -> dict[int, str]:
    """The names of a network's convolutions, by the numbers of their places."""
    made_of: dict[int, frozenset[int]] = {id(network.input): frozenset()}
    names: dict[int, str] = {}

    def visit(tensor: keras.KerasTensor) -> frozenset[int]:
        if id(tensor) in made_of:
            return made_of[id(tensor)]
        layer = tensor._keras_history.operation
        parents = frozenset().union(*map(visit, keras.tree.flatten(layer.input)))
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            height, width, inputs, outputs = layer.kernel.shape
            shape = (inputs, 1) if is_depthwise else (outputs, inputs)
            place = _Place(
                (*shape, height, width),
                tuple(layer.strides),
                inputs if is_depthwise else 1,
                parents,
                layer.name in SCORES,
            )
            parents = frozenset({numbers.setdefault(place, len(numbers))})
            names[next(iter(parents))] = layer.name
        made_of[id(tensor)] = parents
        return parents

    for output in network.outputs:
        visit(output)
    return names
