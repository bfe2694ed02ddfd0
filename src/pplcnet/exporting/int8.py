"""Quantises an ONNX network to INT8 with NNCF: layers, ranges and accuracy control."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pplcnet.errors import ConversionError, require
from pplcnet.exporting.int8_ways import POINTWISE, Way
from pplcnet.exporting.reference import Reference
from pplcnet.exporting.timing import run_in_parts
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.system import telemetry
from pplcnet.system.processor import available_cores
from pplcnet.tasks import find

__all__ = [
    "PostTraining",
    "control_accuracy",
    "open_int8",
    "quantize_content",
    "quantize_network",
    "require_nncf",
]


@dataclass(frozen=True)
class PostTraining:
    """A network in INT8, and the settings it was made with."""

    content: bytes
    """The quantised ONNX file."""
    ranges: NDArray[np.uint8]
    """Prepared images (N, height, width, 3) from which the activation ranges were taken."""
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
        task: the network's task.
        way: the quantisation scheme.
    """
    return quantize_network(content, images, find(task).head_inputs, way).content


def quantize_network(
    content: bytes,
    ranges: NDArray[np.uint8],
    head_inputs: Sequence[str],
    way: Way = POINTWISE,
    is_rough: bool = False,
) -> PostTraining:
    """Quantise a network by one of the schemes.

    Activation ranges are clipped where a histogram says that the rounding error is smallest. If an
    activation hardly varies, a histogram is no help, and the range covers all values seen.
    Measured by benchmarks/quantization_choices.py.

    Args:
        content: a file that the exporter wrote.
        ranges: prepared images (N, height, width, 3), whose activations give the ranges.
        head_inputs: the nodes after which the head begins, as named by the task.
        way: the quantisation scheme.
        is_rough: use the full range of values seen, which is faster, and enough for timing.

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
        "no quantisation ranges can be found: the calibration photos are nearly identical, or the "
        "network is not trained."
    )


def control_accuracy(
    content: bytes,
    quantized: PostTraining,
    reference: Reference,
    max_drop: float,
    deadline: float = math.inf,
) -> bytes:
    """The INT8 network with layers reverted to float one by one until the drop is acceptable.

    Args:
        content: the float32 ONNX file.
        quantized: the result without accuracy control.
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
                "INT8 loses too much accuracy, and time ran out before it was known which layers "
                "must stay in float. The bundle is unchanged; a larger --minutes gives more time."
            )
        chosen = list(items)
        engine = open_int8(candidate.SerializeToString())
        outputs = run_in_parts(engine, reference.images[chosen], threads=available_cores())
        judged = reference.judge.of_some(chosen).judged(outputs)
        return judged.value, judged.each

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
    """Load a quantised network as bundles run it: in OpenVINO, one image per core."""
    return open_engine(
        "openvino", content, precision=precision, threads=1, streams=available_cores()
    )


def require_nncf() -> Any:
    """NNCF, quiet and without telemetry; MissingDependencyError if it is not installed."""
    telemetry.switch_off()
    nncf = require("nncf", purpose="quantising", extra="quantize")
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _no_output() -> Iterator[None]:
    """Silences NNCF, which draws its progress on stdout, where only data belongs."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _preset(nncf: Any, way: Way) -> Any:
    presets = nncf.QuantizationPreset
    return presets.MIXED if way.is_asymmetric else presets.PERFORMANCE


def _as_data(nncf: Any, images: NDArray[np.uint8]) -> Any:
    return nncf.Dataset(images[:, np.newaxis], lambda image: {"images": image})


def _serialize(model: onnx.ModelProto) -> bytes:
    """The file without NNCF's shapes of inner tensors, which slow down loading."""
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content
