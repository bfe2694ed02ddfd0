"""An ONNX network in INT8, made by NNCF: which layers, which ranges, and with accuracy control."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from pplcnet.errors import ConversionError, require
from pplcnet.exporting.reference import Reference
from pplcnet.exporting.timing import run_all
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.system import telemetry
from pplcnet.system.processor import processor_features
from pplcnet.tasks import find

__all__ = [
    "POINTWISE",
    "WAYS",
    "PostTraining",
    "Way",
    "control_accuracy",
    "depthwise_convolutions",
    "layers_after",
    "layers_before_stride",
    "open_int8",
    "quantize_content",
    "quantize_network",
    "require_nncf",
    "stays_in_float",
    "usual_way",
]


class Way(NamedTuple):
    """A way of quantising: which layers stay in float, and which ranges activations have."""

    name: str
    """In manifests and tables."""
    keeps_depthwise: bool = False
    """Depthwise convolutions and the head stay in float."""
    from_stride: int = 1
    """What has more positions than the input divided by this, along each side, stays in float."""
    is_asymmetric: bool = False
    """Hard-swish has a short tail below zero and a long one above. Ranges that follow it lose less
    accuracy. OpenVINO has no AMX kernels for them."""

    def in_float(self, model: onnx.ModelProto, head_inputs: Sequence[str]) -> list[str]:
        """Names of the nodes that are not quantised."""
        names = layers_before_stride(model, self.from_stride)
        return names + (stays_in_float(model, head_inputs) if self.keeps_depthwise else [])


POINTWISE = Way("pointwise layers", keeps_depthwise=True, is_asymmetric=True)
WAYS = (
    POINTWISE,
    Way("all layers"),
    Way("all layers, asymmetric", is_asymmetric=True),
    Way("from stride 16", from_stride=16),
    Way("from stride 32", from_stride=32),
)
"""Those that are worth trying; which is fastest depends on the processor
(docs/decisions/2026-11-26-int8-by-measurement.md)."""


def usual_way() -> Way:
    """The way that is mostly fastest on this kind of processor, where none is measured."""
    has_amx = "amx_int8" in processor_features()
    return next(way for way in WAYS if way.from_stride == 16) if has_amx else POINTWISE


@dataclass(frozen=True)
class PostTraining:
    """A network in INT8, and what it was made with."""

    content: bytes
    """The quantised ONNX file."""
    ranges: NDArray[np.uint8]
    """Prepared images (N, height, width, 3) that gave the ranges of the activations."""
    in_float: Sequence[str]
    """Names of the nodes that stay in float."""
    options: Any
    """NNCF's advanced parameters."""
    way: Way = POINTWISE


def quantize_content(
    content: bytes,
    images: NDArray[np.uint8],
    *,
    task: str = "classification",
    way: Way = POINTWISE,
) -> bytes:
    """An ONNX file of batch 1 in INT8; its accuracy is not measured.

    Args:
        content: a file that the exporter wrote.
        images: prepared images (N, height, width, 3), whose activations give the ranges.
        task: of the network.
        way: of quantising.
    """
    return quantize_network(content, images, find(task).head_inputs, way).content


def quantize_network(
    content: bytes,
    ranges: NDArray[np.uint8],
    head_inputs: Sequence[str],
    way: Way = POINTWISE,
    is_rough: bool = False,
) -> PostTraining:
    """Quantise a network in one of the ways.

    The ranges of activations are cut where a histogram says that the rounding error is least, which
    no histogram can say of an activation that hardly varies; then everything seen is in range.
    Measured by benchmarks/quantization_choices.py.

    Args:
        content: a file that the exporter wrote.
        ranges: prepared images (N, height, width, 3), whose activations give the ranges.
        head_inputs: the nodes that the head begins after, as the task names them.
        way: of quantising.
        is_rough: take all that was seen as the range, which is faster: enough to time the network.

    Raises:
        ConversionError: no ranges can be found, or the network has no such head.
        MissingDependencyError: the quantize extra is not installed.
    """
    nncf = require_nncf()
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Estimators

    model = onnx.load_from_string(content)
    in_float = way.in_float(model, head_inputs)
    for estimator in (
        (Estimators.MINMAX,) if is_rough else (Estimators.HISTOGRAM, Estimators.MINMAX)
    ):
        options = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=estimator)
        with _no_output(), contextlib.suppress(ValueError):
            quantized = nncf.quantize(
                model,
                _as_data(nncf, ranges),
                subset_size=len(ranges),
                ignored_scope=nncf.IgnoredScope(names=in_float, validate=False),
                preset=_preset(nncf, way),
                advanced_parameters=options,
            )
            return PostTraining(_serialize(quantized), ranges, in_float, options, way)
    raise ConversionError(
        "no quantisation ranges can be found: the calibration photos hardly "
        "differ from each other, or the network is not trained."
    )


def control_accuracy(
    content: bytes,
    quantized: PostTraining,
    reference: Reference,
    max_drop: float,
    deadline: float = math.inf,
) -> bytes:
    """The network in INT8 with layers back in float, one by one, until it loses no more.

    Args:
        content: the float32 ONNX file.
        quantized: what it was made into without accuracy control.
        reference: the images that decide.
        max_drop: how far the measure may fall.
        deadline: on the clock of `time.monotonic`.

    Raises:
        ConversionError: the deadline passed before the accuracy held.
    """
    nncf = require_nncf()

    def validate(candidate: onnx.ModelProto, items: Any) -> tuple[float, list[float]]:
        if time.monotonic() > deadline:
            raise ConversionError(
                "INT8 loses too much accuracy, and the time that was given ended before it was "
                "known which layers have to stay in float. The bundle is unchanged; --minutes "
                "gives more time."
            )
        chosen = list(items)
        outputs = run_all(open_int8(candidate.SerializeToString()), reference.images[chosen])
        some = reference.judge.of_some(chosen)
        return some.value(outputs), some.each(outputs)

    with _no_output():
        controlled = nncf.quantize_with_accuracy_control(
            onnx.load_from_string(content),
            calibration_dataset=_as_data(nncf, quantized.ranges),
            validation_dataset=nncf.Dataset(range(len(reference.images))),
            validation_fn=validate,
            max_drop=max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            subset_size=len(quantized.ranges),
            ignored_scope=nncf.IgnoredScope(names=list(quantized.in_float), validate=False),
            preset=_preset(nncf, quantized.way),
            advanced_quantization_parameters=quantized.options,
        )
    return _serialize(controlled)


def open_int8(content: bytes, precision: str = "int8") -> Engine:
    """A quantised network as bundles run it: in OpenVINO; one thread."""
    return open_engine("openvino", content, precision=precision, threads=1)


def stays_in_float(model: onnx.ModelProto, head_inputs: Sequence[str]) -> list[str]:
    """Names of the nodes that are not quantised: depthwise convolutions and the head."""
    return depthwise_convolutions(model) + layers_after(model, head_inputs)


def depthwise_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions in groups, in the order of the graph."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and any(each.name == "group" and each.i > 1 for each in node.attribute)
    ]


def layers_before_stride(model: onnx.ModelProto, stride: int) -> list[str]:
    """Names of the nodes whose output has more positions than the input over stride x stride."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    sizes = {
        each.name: [side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in inferred.value_info
    }
    _, height, width, _ = (
        side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim
    )
    most = -(-height // stride) * -(-width // stride)
    large = {
        name
        for name, shape in sizes.items()
        if stride > 1 and len(shape) == 4 and np.prod(shape[2:]) > most
    }
    # Before the transposition the positions come first.
    first = (
        next((at for at, node in enumerate(model.graph.node) if node.op_type == "Conv"), 0)
        if stride > 1
        else 0
    )
    return [
        node.name
        for at, node in enumerate(model.graph.node)
        if at < first or large.intersection(node.output)
    ]


def layers_after(model: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    """Names of all nodes that depend on the named ones, in the order of the graph.

    Raises:
        ConversionError: the graph has no node of such a name.
    """
    nodes = list(model.graph.node)
    missing = set(names) - {node.name for node in nodes}
    if missing:
        raise ConversionError(
            f"the network has no layer {min(missing)!r}, after which its head should begin."
        )
    reached = {output for node in nodes if node.name in names for output in node.output}
    found = []
    for node in nodes:
        if reached.intersection(node.input):
            reached.update(node.output)
            found.append(node.name)
    return found


def require_nncf() -> Any:
    """NNCF, quiet and without usage statistics; MissingDependencyError where it is missing."""
    telemetry.switch_off()
    nncf = require("nncf", purpose="quantising", extra="quantize")
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _no_output() -> Iterator[None]:
    """NNCF draws its progress on stdout, which is for data."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _preset(nncf: Any, way: Way) -> Any:
    presets = nncf.QuantizationPreset
    return presets.MIXED if way.is_asymmetric else presets.PERFORMANCE


def _as_data(nncf: Any, images: NDArray[np.uint8]) -> Any:
    return nncf.Dataset(images[:, np.newaxis], lambda image: {"images": image})


def _serialize(model: onnx.ModelProto) -> bytes:
    """The file, without the shapes of inner tensors that NNCF leaves: reading them takes longer."""
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content
