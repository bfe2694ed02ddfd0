"""Exports a segmentation network for programs without this library, with resize and argmax inside.

The bundle's own network returns low-resolution logits, which the runtime enlarges: it computes only
the pixels where that matters, in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import ConversionError, InputError
from pplcnet.exporting.images import choose_images
from pplcnet.imaging.geometry import Geometry
from pplcnet.runtime.engines.engine import open_engine, run_padded
from pplcnet.system.files import replacing
from pplcnet.tasks.scores import softmax
from pplcnet.tasks.segmentation.class_maps import class_map
from pplcnet.tasks.segmentation.resizing import resize

__all__ = ["FORMS", "export_file"]

FORMS = ("class_map", "probabilities")
TOLERANCE = 1e-4
"""Tolerance for probabilities."""
MIN_AGREEMENT = 0.9999
"""Fraction of pixels that must have the same class; equal logits may round either way."""
LOGITS = "logits"


def export_file(
    bundle: str | PathLike[str],
    out: str | PathLike[str],
    images: Sequence[str | PathLike[str]] | None = None,
    *,
    form: str = "class_map",
) -> Path:
    """Write an ONNX file made from a bundle's network; compares both on real images.

    It takes `images` uint8 RGB (N, height, width, 3), like the bundle's network. "class_map"
    returns `class_map` uint8 (N, height, width), the class index of each input pixel;
    "probabilities" returns `probabilities` float32 (N, height, width, classes).

    Args:
        form: one of `FORMS`.
        images: as for `export`.

    Raises:
        InputError: the bundle is not a segmentation network's, or there is no such form.
        ConversionError: the file's answers differ from the bundle's.
        StorageError: the file cannot be written.
    """
    if form not in FORMS:
        raise InputError(f"form is {form!r}; allowed are {' and '.join(FORMS)}.")
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    shape = manifest.outputs.get(LOGITS, ())
    if len(shape) != 3:
        raise InputError(
            f"{bundle}: is not a segmentation network, which has logits for each position."
        )
    model = onnx.load_from_string(opened.read(str(opened.variant("onnx")["file"])))
    _enlarge(model, shape, manifest.preprocessing.image_size, form)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    _compare(content, opened, choose_images(opened, images), form)
    with replacing(out) as file:
        file.write(content)
    return Path(out)


def _enlarge(
    model: onnx.ModelProto, shape: tuple[int, ...], size: tuple[int, int], form: str
) -> None:
    """Replace the output by the last steps."""
    graph = model.graph
    height, width, classes = shape
    # The logits are followed by a transposition to channels last and a node that names the output.
    last = {name: node for node in graph.node for name in node.output}
    turned = last[last[LOGITS].input[0]]
    if turned.op_type != "Transpose":
        raise ConversionError("the network's logits are not as the exporter leaves them.")
    source = turned.input[0]
    for node in (last[LOGITS], turned):
        graph.node.remove(node)

    def constant(name: str, values: object, dtype: type) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), f"whole.{name}"))
        return f"whole.{name}"

    scales = [1.0, 1.0]
    for cells, pixels in ((height, size[0]), (width, size[1])):
        scale = np.float32(pixels / cells)
        # Rounded up if it would end a pixel short.
        is_short = cells * float(scale) < pixels
        scales.append(float(np.nextafter(scale, np.float32(np.inf)) if is_short else scale))
    graph.node.append(
        helper.make_node(
            "Resize",
            [source, constant("roi", [], np.float32), constant("scales", scales, np.float32)],
            ["whole.logits"],
            "whole.logits",
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
    )
    batch = graph.output[0].type.tensor_type.shape.dim[0]
    count: int | str = batch.dim_param or batch.dim_value
    del graph.output[:]
    kind, result = TensorProto.UINT8, [count, *size]
    said = "class_map: uint8 (N, height, width), the place of each pixel's class"
    steps: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("ArgMax", {"axis": 1, "keepdims": 0}),
        ("Cast", {"to": TensorProto.UINT8}),
    )
    if form == "probabilities":
        kind, result = TensorProto.FLOAT, [count, *size, classes]
        said = "probabilities: float32 (N, height, width, classes)"
        steps = (("Softmax", {"axis": 1}), ("Transpose", {"perm": [0, 2, 3, 1]}))
    source = "whole.logits"
    for name, (operator, attributes) in zip(("whole.last", form), steps, strict=True):
        graph.node.append(helper.make_node(operator, [source], [name], name, **attributes))
        source = name
    graph.output.append(helper.make_tensor_value_info(form, kind, result))
    for entry in model.metadata_props:
        if entry.key == "output":
            entry.value = said


def _compare(
    content: bytes, bundle: Bundle, images: Sequence[str | PathLike[str]], form: str
) -> None:
    """ConversionError unless the file answers like the bundle's enlarged logits."""
    import onnxruntime

    preprocessing = bundle.manifest.preprocessing
    size = preprocessing.image_size
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    network = open_engine("onnxruntime", bundle.read(str(bundle.variant("onnx")["file"])))
    whole = Geometry(size[::-1])
    for image in images:
        pixels = preprocessing(image)[np.newaxis]
        (found,) = session.run([form], {"images": pixels})
        logits = run_padded(network, pixels)[LOGITS][0]
        if form == "class_map":
            agreement = float((found[0] == class_map(logits, whole, size)).mean())
            is_same = agreement >= MIN_AGREEMENT
            said = f"{agreement:.2%} of the pixels have the bundle's class"
        else:
            difference = float(np.abs(found[0] - softmax(resize(logits, size))).max())
            is_same = difference <= TOLERANCE
            said = f"its probabilities differ by up to {difference:.1e}"
        if not is_same:
            raise ConversionError(f"{image}: the file does not give the bundle's answers: {said}.")
