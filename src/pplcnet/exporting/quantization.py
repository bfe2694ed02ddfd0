"""quantize: post-training quantisation to INT8, kept only if the accuracy holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import today
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import ConversionError, InputError
from pplcnet.exporting.embedding import add_embedding
from pplcnet.exporting.images import (
    VALIDATION_LIMIT,
    check_max_drop,
    evenly_chosen,
    match_validation,
    training_images,
)
from pplcnet.exporting.int8 import (
    control_accuracy,
    open_int8,
    quantize_network,
    require_nncf,
)
from pplcnet.exporting.int8_ways import POINTWISE, Way
from pplcnet.exporting.reference import Reference
from pplcnet.exporting.timing import prepare, run_in_parts
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.system.processor import available_cores
from pplcnet.system.wording import counted
from pplcnet.tasks import answers_of, find
from pplcnet.tasks.task import Measure

__all__ = ["INT8_FILE", "check_batch", "measure_int8", "quantize"]

INT8_FILE = "model.int8.onnx"
CALIBRATION_IMAGES = 300


def quantize(
    bundle: str | PathLike[str] | Bundle,
    validation: Dataset,
    *,
    calibration: Sequence[str | PathLike[str]] | None = None,
    max_drop: float | None = None,
    way: Way = POINTWISE,
    precision: str = "int8",
    with_control: bool = True,
    deadline: float = math.inf,
    accept: Callable[[bytes], None] = lambda content: None,
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Add the `int8` variant to an exported bundle, if its accuracy (top-1, mAP, ...) holds.

    Weights and activations become INT8 (NNCF) in the layers that the scheme `way` names. If that
    loses more than `max_drop`, layers are put back to float one by one until it does not (NNCF's
    accuracy control). `quantize_fastest` chooses the scheme by measuring.

    Args:
        bundle: a bundle folder with the `onnx` variant of batch 1; replaced as a whole at the end.
        validation: labelled photos that decide, of which at most 2000, evenly sampled, are used;
            none of them is used for calibration.
        calibration: photos whose activations give the ranges, at most 300 of them, evenly sampled;
            None uses those that the bundle was trained on.
        max_drop: how far the task's measure may fall below float32's; for multi-label data also the
            fraction of labels that are right at the thresholds, for boxes also the F1 of those
            shown. A fraction; None uses the task's, 0.005, or 0.01 for AP.
        way: the quantisation scheme.
        precision: "int8-bfloat16" if the accuracy must also hold with the other layers in bfloat16.
        with_control: whether layers may be reverted to float.
        deadline: when that ends, on the clock of `time.monotonic`.
        accept: called with the network before it is added; if it raises, the bundle is unchanged.
        report: called with lines about the progress.

    Raises:
        ConversionError: the drop stays above `max_drop`, with the figures; the bundle is unchanged.
        InputError: a `max_drop` outside 0 to 1, no images, or other classes.
        MissingDependencyError: the quantize extra is not installed.
    """
    check_max_drop(max_drop)
    with Bundle.open_to_change(bundle) as opened:
        allowed = find(opened.manifest.task).max_drop if max_drop is None else max_drop
        limits = _Limits(allowed, precision, with_control, deadline, accept)
        return _quantized(opened, validation, calibration, way, limits, report)


class _Limits(NamedTuple):
    """The conditions that the INT8 network must meet."""

    max_drop: float
    precision: str
    with_control: bool
    deadline: float
    accept: Callable[[bytes], None]


def _quantized(
    bundle: Bundle,
    validation: Dataset,
    calibration: Sequence[str | PathLike[str]] | None,
    way: Way,
    limits: _Limits,
    report: Callable[[str], None],
) -> Bundle:
    manifest, max_drop = bundle.manifest, limits.max_drop
    validation = match_validation(bundle, validation)
    check_batch(bundle)
    require_nncf()
    task = find(manifest.task)
    whole = bundle.read(str(bundle.variant("onnx")["file"]))
    answers = answers_of(manifest)
    content = cut_network(whole, answers)
    if calibration is None:
        calibration = training_images(bundle, [image.path for image in validation.images])
    if not calibration:
        raise InputError(f"{bundle.path}: no photos to calibrate with; give some.")
    chosen = evenly_chosen(calibration, CALIBRATION_IMAGES)
    ranges = prepare(manifest.preprocessing, chosen)
    exact = open_engine("onnxruntime", whole, threads=1, sizes=Sizes.of(manifest), outputs=answers)
    deciding = evenly_chosen(validation.images, VALIDATION_LIMIT)
    reference = Reference.of(manifest, manifest.preprocessing, deciding, exact)

    quantized = quantize_network(content, ranges, task.head_inputs, way)
    int8 = quantized.content
    figures = measure_int8(int8, reference)
    method = "post-training quantisation"
    if limits.with_control and not figures["drop"] <= max_drop:  # written so that a NaN is refused
        report(
            f"{_line(figures, reference.measure)}; that is a loss of more than {max_drop}, so "
            "finding out which layers must stay in float"
        )
        method = "post-training quantisation with accuracy control"
        int8 = control_accuracy(content, quantized, reference, max_drop, limits.deadline)
        figures = measure_int8(int8, reference)
    _check_drop(figures, max_drop, reference.measure)
    if limits.precision != "int8":
        lower = measure_int8(int8, reference, limits.precision)
        _check_drop(lower, max_drop, reference.measure)
    limits.accept(int8)
    variant = {
        "file": INT8_FILE,
        "batch": 1,
        "precision": "int8",
        "method": method,
        "layers": way.name,
        "calibration_images": len(chosen),
        "max_drop": max_drop,
        "quantized": today(),
        "accuracy": figures,
    }
    # An earlier tuning did not measure this variant.
    int8 = add_embedding(int8, manifest, task)
    return update_bundle(bundle, files={INT8_FILE: int8}, variants={"int8": variant}, tuning={})


def measure_int8(content: bytes, reference: Reference, precision: str = "int8") -> dict[str, Any]:
    """A quantised network's figures for the manifest, measured in the engine that runs it."""
    engine = open_int8(content) if precision == "int8" else open_int8(content, precision)
    outputs = run_in_parts(engine, reference.images, threads=available_cores())
    judged = reference.judge.judged(outputs)
    drop = judged.drop(reference.judged)
    key = reference.measure.key
    return {
        "images": len(reference.images),
        f"float32_{key}": reference.judged.value,
        key: judged.value,
        "drop": drop.amount,
        "lost": drop.of,
        "agreement": judged.agreement(reference.judged),
    }


def check_batch(bundle: Bundle) -> None:
    """InputError unless the bundle's network has batch 1."""
    batch = bundle.variant("onnx").get("batch")
    if batch != 1:
        taken = "any batch" if batch is None else f"{counted(batch, 'image')} at once"
        raise InputError(
            f"{bundle.path}: its network takes {taken}; 'pplcnet export {bundle.path}' makes one "
            "for single images, which can be quantised."
        )


def _check_drop(figures: dict[str, Any], max_drop: float, measure: Measure) -> None:
    """ConversionError with the figures, if the drop is above the limit or NaN."""
    if not figures["drop"] <= max_drop:
        raise ConversionError(
            f"INT8 loses {figures['drop']:.4f} of {figures['lost']} on {figures['images']} "
            f"validation images ({measure.title} {figures[f'float32_{measure.key}']:.4f} to "
            f"{figures[measure.key]:.4f}); at most {max_drop} is allowed. "
            "The bundle is unchanged; more calibration photos, or a larger --max-drop, may help."
        )


def _line(figures: dict[str, Any], measure: Measure) -> str:
    return (
        f"INT8: {measure.title} {figures[measure.key]:.4f}, float32 "
        f"{figures[f'float32_{measure.key}']:.4f} on {counted(figures['images'], 'image')}; "
        f"{figures['agreement']:.1%} of the predictions agree with float32"
    )
