"""quantize: INT8 by post-training quantisation, kept only while the accuracy holds."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import today
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import ConversionError, InputError, require
from pplcnet.exporting.images import (
    VALIDATION_LIMIT,
    check_max_drop,
    evenly_chosen,
    match_validation,
    training_images,
)
from pplcnet.exporting.timing import prepare, run_all
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.system import telemetry
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.tasks.task import Judge, Measure, Outputs

__all__ = [
    "INT8_FILE",
    "after_last_pooling",
    "depthwise_convolutions",
    "quantize",
    "quantize_content",
]

INT8_FILE = "model.int8.onnx"
CALIBRATION_IMAGES = 300


def quantize(
    bundle: str | PathLike[str] | Bundle,
    validation: Dataset,
    *,
    calibration: Sequence[str | PathLike[str]] | None = None,
    max_drop: float = 0.005,
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Add the `int8` variant to an exported bundle, if its top-1 (or mAP) holds.

    Weights and activations of the pointwise convolutions become INT8 (NNCF). The depthwise ones
    and what follows the last pooling stay in float: quantising them costs accuracy and gains no
    time (docs/decisions/2026-11-25-int8-choices.md has the figures). When that loses more than
    `max_drop`, layers go back to float one after the other until it does not (NNCF's accuracy
    control).

    Args:
        bundle: a bundle folder with the `onnx` variant of batch 1; replaced as a whole at the end.
        validation: labelled photos that decide, of which at most 2000, evenly chosen, are used;
            none of them is used for calibration.
        calibration: photos whose activations give the ranges, at most 300 of them, evenly chosen;
            None takes those that the bundle was trained on.
        max_drop: how far top-1 may fall below float32's; for multi-label data their mAP, and
            the part of them that is right at the thresholds.
        report: called with a line for each thing worth saying.

    Raises:
        ConversionError: the drop stays above `max_drop`, with the figures; the bundle is unchanged.
        InputError: a `max_drop` outside 0 to 1, no images, or other classes.
        MissingDependencyError: the quantize extra is not installed.
    """
    check_max_drop(max_drop)
    with Bundle.open_to_change(bundle) as opened:
        return _quantized(opened, validation, calibration, max_drop, report)


def _quantized(
    bundle: Bundle,
    validation: Dataset,
    calibration: Sequence[str | PathLike[str]] | None,
    max_drop: float,
    report: Callable[[str], None],
) -> Bundle:
    validation = match_validation(bundle, validation)
    _check_batch(bundle)
    nncf = _quiet_nncf()
    content = bundle.read(str(bundle.variant("onnx")["file"]))
    if calibration is None:
        calibration = training_images(bundle, [image.path for image in validation.images])
    if not calibration:
        raise InputError(f"{bundle.path}: no photos to calibrate with; give some.")
    chosen = evenly_chosen(calibration, CALIBRATION_IMAGES)
    ranges = _as_data(nncf, prepare(bundle.manifest.preprocessing, chosen))
    deciding = evenly_chosen(validation.images, VALIDATION_LIMIT)
    images = prepare(bundle.manifest.preprocessing, [image.path for image in deciding])
    task = find(bundle.manifest.task)
    judge, measure = task.judge(bundle.manifest, deciding), task.measure

    sizes = Sizes.of(bundle.manifest)
    reference = run_all(open_engine("onnxruntime", content, threads=1, sizes=sizes), images)
    model = onnx.load_from_string(content)
    scope = nncf.IgnoredScope(names=_stays_in_float(model), validate=False)
    quantized, options = _post_training(nncf, model, ranges, scope, len(chosen))
    figures = _figures(quantized, images, judge, measure, reference)
    method = "post-training quantisation"
    if not figures["drop"] <= max_drop:  # so that a NaN is no good
        report(
            f"{_line('INT8', figures, measure)}; that is a loss of more than {max_drop}, so trying "
            "which layers have to stay in float"
        )
        method = "post-training quantisation with accuracy control"
        quantized = _with_accuracy_control(
            nncf, model, ranges, images, judge, scope, max_drop, len(chosen), options
        )
        figures = _figures(quantized, images, judge, measure, reference)
    if not figures["drop"] <= max_drop:  # so that a NaN is no good
        raise ConversionError(
            f"INT8 loses {figures['drop']:.4f} of {figures['lost']} on {len(images)} validation "
            f"images ({measure.title} {figures[f'float32_{measure.key}']:.4f} to "
            f"{figures[measure.key]:.4f}); at most {max_drop} is allowed. "
            "The bundle is unchanged; more calibration photos, or a larger --max-drop, may help."
        )
    variant = {
        "file": INT8_FILE,
        "batch": 1,
        "precision": "int8",
        "method": method,
        "calibration_images": len(chosen),
        "max_drop": max_drop,
        "quantized": today(),
        "accuracy": figures,
    }
    # What was tuned before knows nothing of this variant, or knows another one.
    return update_bundle(
        bundle, files={INT8_FILE: quantized}, variants={"int8": variant}, tuning={}
    )


def quantize_content(content: bytes, images: NDArray[np.uint8]) -> bytes:
    """An ONNX file of batch 1 with INT8 by ranges of prepared images; no accuracy is looked at."""
    nncf = _quiet_nncf()
    model = onnx.load_from_string(content)
    scope = nncf.IgnoredScope(names=_stays_in_float(model), validate=False)
    quantized, _ = _post_training(nncf, model, _as_data(nncf, images), scope, len(images))
    return quantized


def _check_batch(bundle: Bundle) -> None:
    batch = bundle.variant("onnx").get("batch")
    if batch != 1:
        taken = "any batch" if batch is None else f"{counted(batch, 'image')} at once"
        raise InputError(
            f"{bundle.path}: its network takes {taken}; 'pplcnet export {bundle.path}' makes one "
            "for single images, which can be quantised."
        )


def _quiet_nncf() -> Any:
    telemetry.switch_off()
    nncf = require("nncf", purpose="quantising", extra="quantize")
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _silence() -> Any:
    """NNCF draws its progress on stdout, which is for data."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _post_training(
    nncf: Any, model: onnx.ModelProto, ranges: Any, scope: Any, subset: int
) -> tuple[bytes, Any]:
    """The quantised network, and the parameters that it was made with.

    Activations have asymmetric ranges, since hard-swish has a short tail below zero and a long one
    above. They are cut where a histogram says that the rounding error is least, which no histogram
    can say of an activation that hardly varies; then all that was seen is in range. Measured by
    benchmarks/quantization_choices.py.
    """
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    for estimator in (RangeEstimatorParametersSet.HISTOGRAM, RangeEstimatorParametersSet.MINMAX):
        options = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=estimator)
        with _silence(), contextlib.suppress(ValueError):
            quantized = nncf.quantize(
                model,
                ranges,
                subset_size=subset,
                ignored_scope=scope,
                preset=nncf.QuantizationPreset.MIXED,
                advanced_parameters=options,
            )
            return _serialized(quantized), options
    raise ConversionError(
        "no quantisation ranges can be found: the calibration photos hardly "
        "differ from each other, or the network is not trained."
    )


def _as_data(nncf: Any, images: NDArray[np.uint8]) -> Any:
    return nncf.Dataset(images[:, np.newaxis], lambda image: {"images": image})


def depthwise_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions in groups."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and any(each.name == "group" and each.i > 1 for each in node.attribute)
    ]


def after_last_pooling(model: onnx.ModelProto) -> list[str]:
    """Names of all layers after the last pooling; none where nothing pools."""
    nodes = list(model.graph.node)
    pools = [at for at, node in enumerate(nodes) if node.op_type == "GlobalAveragePool"]
    return [node.name for node in nodes[pools[-1] + 1 :]] if pools else []


def _stays_in_float(model: onnx.ModelProto) -> list[str]:
    return depthwise_convolutions(model) + after_last_pooling(model)


def _figures(
    content: bytes,
    images: NDArray[np.uint8],
    judge: Judge,
    measure: Measure,
    reference: Outputs,
) -> dict[str, Any]:
    """Measured as it will run: in OpenVINO."""
    outputs = run_all(open_engine("openvino", content, precision="int8", threads=1), images)
    drop = judge.drop(outputs, reference)
    return {
        "images": len(images),
        f"float32_{measure.key}": judge.value(reference),
        measure.key: judge.value(outputs),
        "drop": drop.amount,
        "lost": drop.of,
        "agreement": judge.agreement(outputs, reference),
    }


def _line(what: str, figures: dict[str, Any], measure: Measure) -> str:
    return (
        f"{what}: {measure.title} {figures[measure.key]:.4f}, float32 "
        f"{figures[f'float32_{measure.key}']:.4f} on {counted(figures['images'], 'image')}; "
        "same answer on "
        f"{figures['agreement']:.3f}"
    )


def _with_accuracy_control(
    nncf: Any,
    model: onnx.ModelProto,
    ranges: Any,
    images: NDArray[np.uint8],
    judge: Judge,
    scope: Any,
    max_drop: float,
    subset: int,
    options: Any,
) -> bytes:
    def validate(candidate: onnx.ModelProto, items: Any) -> tuple[float, list[float]]:
        content = candidate.SerializeToString()
        engine = open_engine("openvino", content, precision="int8", threads=1)
        chosen = list(items)
        outputs = run_all(engine, images[chosen])
        some = judge.of_some(chosen)
        return some.value(outputs), some.each(outputs)

    checks = nncf.Dataset(range(len(images)))
    with _silence():
        controlled = nncf.quantize_with_accuracy_control(
            model,
            calibration_dataset=ranges,
            validation_dataset=checks,
            validation_fn=validate,
            max_drop=max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            subset_size=subset,
            ignored_scope=scope,
            preset=nncf.QuantizationPreset.MIXED,
            advanced_quantization_parameters=options,
        )
    return _serialized(controlled)


def _serialized(model: onnx.ModelProto) -> bytes:
    """The file, without the shapes of inner tensors that NNCF leaves: reading them takes longer."""
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content
