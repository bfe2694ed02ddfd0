"""Translates a Keras graph of the catalog's layers to few ONNX operators.

The result has one Conv for convolution, BatchNorm and padding together, one HardSwish per
activation, one Clip per hard-sigmoid gate, Gemm for the classifier, and at the front Cast, the
subtraction of the mean, and Transpose. `onnx_rules.py` has a function per layer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import keras
import onnx

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ConversionError
from pplcnet.exporting.onnx_rules import rule_of
from pplcnet.exporting.onnx_walk import Walk
from pplcnet.tasks import find
from pplcnet.tasks.task import EMBEDDING

__all__ = ["to_onnx"]


def to_onnx(model: keras.Model, manifest: Manifest, *, batch: int | None) -> onnx.ModelProto:
    """Translate a functional model that maps normalised images to the manifest's outputs.

    The ONNX model takes `images` uint8 (N, height, width, 3) RGB, normalises them itself, and
    returns float32 outputs (N, ...) under the manifest's names, in the model's order. N is `batch`,
    or any number if that is None. Its metadata suffices to run it without a bundle.

    Raises:
        ConversionError: a layer without a rule, or outputs that differ from the manifest's.
    """
    outputs = manifest.outputs
    if len(outputs) != len(model.outputs):
        raise ConversionError(
            f"the network has {len(model.outputs)} outputs; its manifest has "
            f"{len(outputs)}: {', '.join(outputs)}."
        )
    walk = Walk(model, manifest.preprocessing)
    for layer in model.layers:
        if not walk.is_written(layer):
            rule_of(layer)(walk, layer)
    size: int | str = "N" if batch is None else batch
    return walk.graph.to_model(
        name=model.name,
        input_shape=[size, *manifest.preprocessing.image_size, 3],
        outputs={
            name: (_write_output(walk, name, tensor, shape), [size, *shape])
            for (name, shape), tensor in zip(outputs.items(), model.outputs, strict=True)
        },
        metadata={
            "classes": json.dumps(list(manifest.classes), ensure_ascii=False),
            "preprocessing": json.dumps(manifest.preprocessing.to_dict()),
            "input": "images: uint8 RGB (N, height, width, 3), resized as preprocessing says",
            "output": find(manifest.task).outputs_text or _describe(outputs),
            "task": manifest.task,
            "network": str(manifest.network.get("name", "")),
            **({EMBEDDING: str(outputs[EMBEDDING][0])} if EMBEDDING in outputs else {}),
        },
    )


def _write_output(walk: Walk, name: str, tensor: keras.KerasTensor, shape: tuple[int, ...]) -> str:
    """Write an output in Keras' layout, feature maps channels last; returns the ONNX tensor."""
    source = walk.name_of(tensor, f"the output {name!r}")
    if tuple(tensor.shape[1:]) != shape:
        raise ConversionError(
            f"the output {name!r} has the shape {tuple(tensor.shape[1:])}; its manifest says "
            f"{shape}."
        )
    if len(tensor.shape) != 4:
        return source
    return walk.graph.node("Transpose", [source], f"{name}.channels_last", perm=[0, 2, 3, 1])


def _describe(outputs: Mapping[str, tuple[int, ...]]) -> str:
    shapes = {name: ", ".join(map(str, ("N", *shape))) for name, shape in outputs.items()}
    return "; ".join(f"{name}: float32 ({shape})" for name, shape in shapes.items())
