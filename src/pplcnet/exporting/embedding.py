"""Adds the embedding as a separate output to Keras models, manifests and quantised files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto, helper

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ConversionError
from pplcnet.tasks.task import EMBEDDING, Task

if TYPE_CHECKING:
    import keras

__all__ = ["add_embedding", "manifest_with_embedding", "with_embedding"]


def manifest_with_embedding(manifest: Manifest, model: keras.Model, task: Task[Any]) -> Manifest:
    """The manifest with the embedding as an output, if the network's task has one."""
    network = str(manifest.network.get("name", ""))
    outputs = dict(task.outputs(manifest.classes, manifest.preprocessing.image_size, network))
    if task.embedding:
        outputs[EMBEDDING] = tuple(model.get_layer(task.embedding).output.shape[1:])
    return replace(manifest, outputs=outputs)


def with_embedding(model: keras.Model, manifest: Manifest, task: Task[Any]) -> keras.Model:
    """The model with its embedding as the last output, if the manifest has that output."""
    if EMBEDDING not in manifest.outputs:
        return model
    import keras

    embedding = model.get_layer(task.embedding).output
    return keras.Model(model.input, [*model.outputs, embedding], name=model.name)


def add_embedding(content: bytes, manifest: Manifest, task: Task[Any]) -> bytes:
    """Add the embedding to an ONNX file with only the task's outputs, if the manifest has it.

    The file is quantised without it: with it, the quantiser would treat the layers before the
    classifier differently.

    Raises:
        ConversionError: the file has no tensor of the embedding's name.
    """
    if EMBEDDING not in manifest.outputs:
        return content
    model = onnx.load_from_string(content)
    graph = model.graph
    if not any(task.embedding in node.output for node in graph.node):
        raise ConversionError(f"the quantised network has no tensor {task.embedding!r}.")
    batch = graph.output[0].type.tensor_type.shape.dim[0]
    size: int | str = batch.dim_param or batch.dim_value
    shape = [size, *manifest.outputs[EMBEDDING]]
    last = list(graph.node)
    del graph.node[:]
    node = helper.make_node("Identity", [task.embedding], [EMBEDDING], name=EMBEDDING)
    at = next(at for at, each in enumerate(last) if task.embedding in each.output)
    graph.node.extend([*last[: at + 1], node, *last[at + 1 :]])
    graph.output.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, shape))
    with_it: bytes = model.SerializeToString()
    return with_it
