"""What can be measured: catalog networks with random weights, and bundles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import BundleError, UnknownNameError
from pplcnet.models.catalog import (
    CATALOG,
    DETECTORS,
    SEGMENTERS,
    Detector,
    Network,
    Segmenter,
    only_task,
)
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.tasks import answers_of, find, task_of, training_of

__all__ = ["DEFAULT_MACS", "NETWORKS", "Subject", "default_names", "load_subject"]

NETWORKS: Mapping[str, Network | Detector | Segmenter] = {**CATALOG, **DETECTORS, **SEGMENTERS}
"""Everything that can be measured by name."""

# The paper calls networks up to this many multiply-accumulates light; they are the default.
DEFAULT_MACS = 350_000_000


class Subject(NamedTuple):
    """A network to measure."""

    name: str
    row: Network | None
    """A classifier's catalog row; None for all others, which have no reported accuracy."""
    contents: dict[str, bytes]
    """"float32" and possibly "int8" to an ONNX file of batch 1."""
    image_size: tuple[int, int]
    macs: int
    parameters: int


def default_names() -> list[str]:
    """Every light network with a reported accuracy."""
    return [
        row.name
        for row in CATALOG.values()
        if row.reported_top1 is not None and row.macs_224 <= DEFAULT_MACS
    ]


def load_subject(
    text: str, image_size: tuple[int, int] | None = None, *, int8: bool = False
) -> Subject:
    """Load a bundle by its path, or build a network by its name with random weights.

    Args:
        image_size: (height, width) for networks; None for the size of the catalog's figures.
            A bundle has its own.
        int8: also quantise a network given by name, which takes a few seconds.

    Raises:
        UnknownNameError: neither a name nor a bundle.
        BundleError: damaged, or without a network for a batch of 1.
    """
    if text in NETWORKS:
        return _by_name(text, image_size, int8)
    if not Path(text).exists():
        raise UnknownNameError("network or bundle", text, NETWORKS)
    bundle = Bundle.open(text)
    task_of(bundle.manifest, bundle.path)  # or a message about it
    answers = answers_of(bundle.manifest)
    contents = {
        str(variant.get("precision", "float32")): cut_network(
            bundle.read(str(variant["file"])), answers
        )
        for name, variant in bundle.manifest.variants.items()
        if str(variant["file"]).endswith(".onnx")
    }
    if "float32" not in contents or bundle.variant("onnx").get("batch") != 1:
        raise BundleError(
            f"{bundle.path}: has no network for one image; 'pplcnet export {bundle.path}' makes it."
        )
    size = bundle.manifest.preprocessing.image_size
    macs, parameters = _count_cost(contents["float32"])
    return Subject(str(bundle.path), None, contents, size, macs, parameters)


def _by_name(name: str, image_size: tuple[int, int] | None, int8: bool) -> Subject:
    from pplcnet.exporting.translation import to_onnx
    from pplcnet.imaging.preprocessing import Preprocessing
    from pplcnet.models.reparameterization import to_deploy_form

    size, count = NETWORKS[name].measured_at
    size = image_size or size
    classes = tuple(f"class {number}" for number in range(count))
    manifest = Manifest(classes, Preprocessing(size), {"name": name, "options": {}})
    task = find(only_task(name) or manifest.task)
    manifest = replace(manifest, task=task.name, outputs=task.outputs(classes, size, name))
    model = to_deploy_form(training_of(task).build(name, classes, size, {}))
    contents = {"float32": to_onnx(model, manifest, batch=1).SerializeToString()}
    if int8:
        from pplcnet.exporting.int8 import quantize_content
        from pplcnet.exporting.int8_ways import usual_way

        noise = np.random.default_rng(0).integers(0, 256, (16, *size, 3), np.uint8)
        contents["int8"] = quantize_content(
            contents["float32"], noise, task=task.name, way=usual_way()
        )
    macs, parameters = _count_cost(contents["float32"])
    return Subject(name, CATALOG.get(name), contents, size, macs, parameters)


def _count_cost(content: bytes) -> tuple[int, int]:
    """Multiply-accumulates of convolutions and matrix products, and the number of weights."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    weights = {each.name: tuple(each.dims) for each in model.graph.initializer}
    shapes = {
        each.name: [side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in [*model.graph.value_info, *model.graph.output]
    }
    macs = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            positions = int(np.prod(shapes[node.output[0]][2:]))
            macs += positions * int(np.prod(weights[node.input[1]]))
        elif node.op_type == "Gemm":
            macs += int(np.prod(weights[node.input[1]]))
    used = {name for node in model.graph.node if node.op_type in ("Conv", "Gemm")
            for name in node.input[1:]}  # fmt: skip
    return macs, sum(int(np.prod(shape)) for name, shape in weights.items() if name in used)
