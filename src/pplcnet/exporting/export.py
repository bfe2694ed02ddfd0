"""export: adds a fused ONNX network to a trained bundle, if it matches Keras on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import write_bundle
from pplcnet.errors import InputError
from pplcnet.exporting.embedding import manifest_with_embedding, with_embedding
from pplcnet.exporting.images import choose_images
from pplcnet.exporting.parity import in_full_precision, keras_outputs, measure_parity
from pplcnet.exporting.timing import measure_latencies, prepare, run_all
from pplcnet.exporting.translation import to_onnx
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.system.processor import available_cores, processor_name
from pplcnet.tasks import task_of
from pplcnet.weights.bundled import restore_model

__all__ = [
    "ONNX_FILE",
    "export",
    "measure_latency",
]

ONNX_FILE = "model.onnx"


def export(
    bundle: str | PathLike[str] | Bundle,
    images: Sequence[str | PathLike[str]] | None = None,
    *,
    batch: int | None = 1,
) -> Bundle:
    """Add the `onnx` variant to a bundle, after comparing it with Keras on real images.

    In addition to the outputs of its task, it has the output "embedding" if the task has one: the
    features before the last dense layer, (N, D) float32.

    Args:
        bundle: a bundle folder with the Keras variant; it is replaced as a whole at the end.
        images: photos for the comparison, of which at most 64, evenly sampled, are used. None uses
            the folder that the bundle was trained on.
        batch: images per run of the graph; None for any number, which is 10 to 20 % slower.

    Raises:
        ConversionError: a layer without a rule, or a difference above the limit, with the figures.
        InputError: no images, or a batch below 1.
    """
    if batch is not None and batch < 1:
        raise InputError(f"batch is {batch}; it must be at least 1, or None for any number.")
    with Bundle.open_to_change(bundle) as opened:
        return _exported(opened, images, batch)


def _exported(
    bundle: Bundle, images: Sequence[str | PathLike[str]] | None, batch: int | None
) -> Bundle:
    task = task_of(bundle.manifest, bundle.path)
    pixels = prepare(bundle.manifest.preprocessing, choose_images(bundle, images))
    with in_full_precision():
        model = restore_model(bundle)
        manifest = manifest_with_embedding(bundle.manifest, model, task)
        deployed = with_embedding(to_deploy_form(model), manifest, task)
        proto = to_onnx(deployed, manifest, batch=batch)
        expected = keras_outputs(with_embedding(model, manifest, task), manifest, pixels)
    content = proto.SerializeToString()
    engine = open_engine("onnxruntime", content)
    parity = measure_parity(
        expected, run_all(engine, pixels), task.judge(manifest, ()), task.tolerance
    )
    variant = {
        "file": ONNX_FILE,
        "batch": batch,
        "opset": proto.opset_import[0].version,
        "precision": "float32",
        "parity": parity,
        "latency": measure_latency(engine, pixels[:1]) if batch in (1, None) else None,
    }
    # Drop what was made from the previous network or measured on it.
    stale = [name for name in manifest.variants if name not in ("keras", "onnx")]
    kept = {name: each for name, each in manifest.variants.items() if name not in stale}
    gone = {str(manifest.variants[name]["file"]) for name in stale}
    files = {name: bundle.read(name) for name in manifest.files if name not in {ONNX_FILE, *gone}}
    return write_bundle(
        bundle.path,
        replace(manifest, variants={**kept, "onnx": variant}, tuning={}),
        {**files, ONNX_FILE: content},
    )


def measure_latency(
    engine: Engine, image: NDArray[np.uint8], name: str = "onnxruntime"
) -> dict[str, Any]:
    """Figures for the manifest: median milliseconds for one prepared image, on all cores."""
    latency = measure_latencies({name: partial(engine.run, image)}, rounds=4)[name]
    return {
        "median_ms": round(latency.median_ms, 3),
        "threads": available_cores(),
        "processor": processor_name(),
        "engine": name,
    }
