"""Exports a detector for programs without this library: with suppression inside, or as logits.

The bundle's own network returns all boxes and scores, and the runtime does the suppression.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import ConversionError, InputError
from pplcnet.exporting.images import choose_images
from pplcnet.models.boxes import BINS
from pplcnet.models.catalog import DETECTOR_STRIDES
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.system.files import replacing
from pplcnet.tasks import task_of
from pplcnet.tasks.detection.head import LOGITS
from pplcnet.tasks.scores import sigmoid, softmax

__all__ = ["FORMS", "export_file"]

FORMS = ("detections", "logits")
TOLERANCE = 1e-3
"""Tolerance for scores, and for boxes as a fraction of the photo's longer side."""


def export_file(
    bundle: str | PathLike[str],
    out: str | PathLike[str],
    images: Sequence[str | PathLike[str]] | None = None,
    *,
    form: str = "detections",
) -> Path:
    """Write an ONNX file made from a bundle's network of batch 1; compares both on real images.

    It takes `images` uint8 RGB (1, height, width, 3), like the bundle's network. "detections" also
    takes `photo_size`, float32 (2,), the photo's width and height, and returns `boxes` (D, 4) in
    the photo's pixels, `scores` (D,) and `class_ids` (D,) int64, the most confident first, by
    ONNX's NonMaxSuppression. "logits" returns `class_logits` (1, cells, classes), `align_logits`
    (1, cells, 1) and `distance_logits` (1, cells, 32).

    Args:
        form: one of `FORMS`.
        images: as for `export`.

    Raises:
        InputError: the bundle is not a detector's, its input is not stretched, or no such form.
        ConversionError: the file's answers differ from the bundle's.
        StorageError: the file cannot be written.
    """
    if form not in FORMS:
        raise InputError(f"form is {form!r}; allowed are {' and '.join(FORMS)}.")
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    if set(manifest.outputs) != {"boxes", "scores"}:
        raise InputError(f"{bundle}: is not a detector, whose outputs are boxes and scores.")
    variant = opened.variant("onnx")
    if variant.get("batch") != 1 or manifest.preprocessing.resize != "stretch":
        raise InputError(
            f"{bundle}: this file can only be made of a network for single images that are "
            "stretched."
        )
    model = onnx.load_from_string(opened.read(str(variant["file"])))
    chosen = choose_images(opened, images)
    if form == "logits":
        _return_logits(model)
    else:
        _suppress(model, opened)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    (_compare_detections if form == "detections" else _compare_logits)(content, opened, chosen)
    with replacing(out) as file:
        file.write(content)
    return Path(out)


def _return_logits(model: onnx.ModelProto) -> None:
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    found = {each.name: each for each in inferred if each.name in LOGITS}
    if len(found) < len(LOGITS):
        raise ConversionError("the bundle's network has no logits; export it again.")
    graph = model.graph
    del graph.output[:]
    graph.output.extend(found[name] for name in LOGITS)
    needed = set(LOGITS)
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [each for each in graph.initializer if each.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _suppress(model: onnx.ModelProto, bundle: Bundle) -> None:
    """Append the same suppression as in the bundle's decoder to the outputs."""
    decoder: Any = task_of(bundle.manifest, bundle.path).decoder(bundle.manifest)
    graph = model.graph
    height, width = bundle.manifest.preprocessing.image_size

    def constant(name: str, values: Any, dtype: type) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), f"nms.{name}"))
        return f"nms.{name}"

    def node(operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        graph.node.append(helper.make_node(operator, inputs, [*outputs], outputs[0], **attributes))

    # The new outputs take these names; the old outputs become inner tensors.
    for each in graph.node:
        for at, name in enumerate(each.output):
            if name in ("boxes", "scores"):
                each.output[at] = each.name = f"nms.all_{name}"
    most = constant("most", [decoder.most], np.int64)
    node("Transpose", ["nms.all_scores"], "nms.by_class", perm=[0, 2, 1])
    node(
        "NonMaxSuppression",
        [
            "nms.all_boxes",
            "nms.by_class",
            most,
            constant("iou", [decoder.iou_threshold], np.float32),
            constant("score", [decoder.score_threshold], np.float32),
        ],
        "nms.chosen",
    )
    node("GatherND", ["nms.by_class", "nms.chosen"], "nms.chosen_scores")
    node("Shape", ["nms.chosen_scores"], "nms.found")
    node("Min", ["nms.found", most], "nms.count")
    node("TopK", ["nms.chosen_scores", "nms.count"], "scores", "nms.order", axis=0)
    node("Gather", ["nms.chosen", "nms.order"], "nms.best", axis=0)
    node("Gather", ["nms.best", constant("class", 1, np.int64)], "class_ids", axis=1)
    node("Gather", ["nms.best", constant("cell", 2, np.int64)], "nms.cells", axis=1)
    node("Squeeze", ["nms.all_boxes", constant("first", [0], np.int64)], "nms.flat")
    node("Gather", ["nms.flat", "nms.cells"], "nms.kept", axis=0)
    node("Concat", ["photo_size", "photo_size"], "nms.sides", axis=0)
    node("Div", ["nms.sides", constant("input", [width, height] * 2, np.float32)], "nms.scale")
    node("Mul", ["nms.kept", "nms.scale"], "nms.scaled")
    node("Max", ["nms.scaled", constant("zero", 0, np.float32)], "nms.inside")
    node("Min", ["nms.inside", "nms.sides"], "boxes")
    graph.input.append(helper.make_tensor_value_info("photo_size", TensorProto.FLOAT, [2]))
    del graph.output[:]
    results: list[tuple[str, int, list[str | int | None]]] = [
        ("boxes", TensorProto.FLOAT, ["D", 4]),
        ("scores", TensorProto.FLOAT, ["D"]),
        ("class_ids", TensorProto.INT64, ["D"]),
    ]
    graph.output.extend(helper.make_tensor_value_info(*each) for each in results)
    for entry in model.metadata_props:
        if entry.key == "output":
            entry.value = (
                "boxes: float32 (D, 4), x1, y1, x2, y2 in pixels of the photo; scores: float32 "
                "(D,), falling; class_ids: int64 (D,)"
            )
        if entry.key == "input":
            entry.value += "; photo_size: float32 (2,), the photo's width and height in pixels"


def _compare_logits(content: bytes, bundle: Bundle, images: Sequence[str | PathLike[str]]) -> None:
    """ConversionError unless the logits give the bundle's scores and box sizes."""
    height, width = bundle.manifest.preprocessing.image_size
    strides = np.concatenate(
        [np.full(-(-height // each) * -(-width // each), each) for each in DETECTOR_STRIDES]
    )
    session, network = _both(content, bundle)
    for image in images:
        pixels = bundle.manifest.preprocessing(image)[np.newaxis]
        outputs = network.run(pixels)
        classes, align, sides = session.run([*LOGITS], {"images": pixels})
        scores = np.sqrt(sigmoid(classes) * sigmoid(align))
        distances = softmax(sides.reshape(-1, 4, BINS)) @ np.arange(BINS) * strides[:, np.newaxis]
        boxes = outputs["boxes"][0]
        sizes = boxes[:, 2:] - boxes[:, :2]
        is_same = np.allclose(scores, outputs["scores"], rtol=0, atol=TOLERANCE) and np.allclose(
            distances[:, :2] + distances[:, 2:], sizes, rtol=0, atol=TOLERANCE * max(height, width)
        )
        if not is_same:
            raise ConversionError(
                f"{image}: the logits do not give the bundle's boxes and scores; nothing is "
                "written."
            )


def _both(content: bytes, bundle: Bundle) -> tuple[Any, Engine]:
    """The file and the bundle's network, opened for running."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session, open_engine("onnxruntime", bundle.read(str(bundle.variant("onnx")["file"])))


def _compare_detections(
    content: bytes, bundle: Bundle, images: Sequence[str | PathLike[str]]
) -> None:
    """ConversionError unless the file answers like the bundle's network and decoder."""
    manifest = bundle.manifest
    decode = task_of(manifest, bundle.path).decoder(manifest)
    session, network = _both(content, bundle)
    for image in images:
        placed = manifest.preprocessing.place(image)
        pixels, geometry = placed.pixels[np.newaxis], placed.geometry
        outputs = {name: each[0] for name, each in network.run(pixels).items()}
        expected: Any = decode(outputs, geometry, str(image))
        given = {"images": pixels, "photo_size": np.array(geometry.size, np.float32)}
        boxes, scores, classes = session.run(["boxes", "scores", "class_ids"], given)
        seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        is_same = (
            seen.sum() == len(expected)
            and np.array_equal(classes[seen], expected.class_id)
            and np.allclose(scores[seen], expected.confidence, rtol=0, atol=TOLERANCE)
            and np.allclose(boxes[seen], expected.xyxy, rtol=0, atol=TOLERANCE * max(geometry.size))
        )
        if not is_same:
            raise ConversionError(
                f"{image}: the file with non-maximum suppression finds {len(scores)} objects, not "
                f"those that the bundle does ({len(expected)}); nothing is written."
            )
