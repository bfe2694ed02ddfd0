"""An ONNX network in INT8, made by NNCF: which layers, which ranges, and with accuracy control."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pplcnet.errors import ConversionError, require
from pplcnet.exporting.reference import Reference
from pplcnet.exporting.timing import run_all
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.system import telemetry
from pplcnet.tasks import find

__all__ = [
    "PostTraining",
    "control_accuracy",
    "depthwise_convolutions",
    "layers_after",
    "open_int8",
    "quantize_content",
    "quantize_network",
    "require_nncf",
    "stays_in_float",
]


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


def quantize_content(
    content: bytes, images: NDArray[np.uint8], *, task: str = "classification"
) -> bytes:
    """An ONNX file of batch 1 in INT8; its accuracy is not measured.

    Args:
        content: a file that the exporter wrote.
        images: prepared images (N, height, width, 3), whose activations give the ranges.
        task: of the network.
    """
    return quantize_network(content, images, find(task).head_inputs).content


def quantize_network(
    content: bytes, ranges: NDArray[np.uint8], head_inputs: Sequence[str]
) -> PostTraining:
    """Quantise all but the depthwise convolutions and the head.

    Activations have asymmetric ranges, since hard-swish has a short tail below zero and a long one
    above. They are cut where a histogram says that the rounding error is least, which no histogram
    can say of an activation that hardly varies; then everything seen is in range. Measured by
    benchmarks/quantization_choices.py.

    Raises:
        ConversionError: no ranges can be found, or the network has no such head.
        MissingDependencyError: the quantize extra is not installed.
    """
    nncf = require_nncf()
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    model = onnx.load_from_string(content)
    in_float = stays_in_float(model, head_inputs)
    for estimator in (RangeEstimatorParametersSet.HISTOGRAM, RangeEstimatorParametersSet.MINMAX):
        options = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=estimator)
        with _no_output(), contextlib.suppress(ValueError):
            quantized = nncf.quantize(
                model,
                _as_data(nncf, ranges),
                subset_size=len(ranges),
                ignored_scope=nncf.IgnoredScope(names=in_float, validate=False),
                preset=nncf.QuantizationPreset.MIXED,
                advanced_parameters=options,
            )
            return PostTraining(_serialize(quantized), ranges, in_float, options)
    raise ConversionError(
        "no quantisation ranges can be found: the calibration photos hardly "
        "differ from each other, or the network is not trained."
    )


def control_accuracy(
    content: bytes, quantized: PostTraining, reference: Reference, max_drop: float
) -> bytes:
    """The network in INT8 with layers back in float, one by one, until it loses no more.

    Args:
        content: the float32 ONNX file.
        quantized: what it was made into without accuracy control.
        reference: the images that decide.
        max_drop: how far the measure may fall.
    """
    nncf = require_nncf()

    def validate(candidate: onnx.ModelProto, items: Any) -> tuple[float, list[float]]:
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
            preset=nncf.QuantizationPreset.MIXED,
            advanced_quantization_parameters=quantized.options,
        )
    return _serialize(controlled)


def open_int8(content: bytes) -> Engine:
    """A quantised network as bundles run it: in OpenVINO; one thread."""
    return open_engine("openvino", content, precision="int8", threads=1)


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


def _as_data(nncf: Any, images: NDArray[np.uint8]) -> Any:
    return nncf.Dataset(images[:, np.newaxis], lambda image: {"images": image})


def _serialize(model: onnx.ModelProto) -> bytes:
    """The file, without the shapes of inner tensors that NNCF leaves: reading them takes longer."""
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content
