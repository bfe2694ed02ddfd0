"""Convert request tensors to photos for the workers, and the workers' answers to tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.serving.frames import Buffer
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.served import Served
from pplcnet.serving.tensors import (
    DATATYPES,
    InferenceRequest,
    InputTensor,
    OutputTensor,
    RequestedOutput,
)

__all__ = [
    "PIXELS",
    "check_number",
    "describe_tensors",
    "join_outputs",
    "photos_of",
    "wanted_outputs",
]

PHOTO, PIXELS = "image", "pixels"


def describe_tensors(served: Served) -> dict[str, list[dict[str, Any]]]:
    """The inputs and outputs of a model, in the form of its metadata."""
    return {
        "inputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, (datatype, shape) in _inputs(served).items()
        ],
        "outputs": [
            {"name": name, "datatype": DATATYPES.get(dtype, "BYTES"), "shape": [-1, *shape]}
            for name, (dtype, shape) in served.all_outputs.items()
        ],
    }


def _inputs(served: Served) -> dict[str, tuple[str, list[int]]]:
    height, width = served.image_size
    return {PHOTO: ("BYTES", [-1]), PIXELS: ("UINT8", [-1, height, width, 3])}


def photos_of(inputs: Sequence[InputTensor], served: Served, most: int) -> tuple[str, list[Buffer]]:
    """The input's name, and the bytes of each of its photos.

    Raises:
        Refusal: 400 if the model does not take this input, 413 for more than `most` photos.
    """
    known = _inputs(served)
    if len(inputs) != 1:
        raise Refusal(400, f"{len(inputs)} inputs; give one, {PHOTO} or {PIXELS}.")
    (tensor,) = inputs
    if tensor.name not in known:
        raise Refusal(
            400, f"no input {tensor.name[:128]!r}; {served.name} takes {PHOTO} or {PIXELS}."
        )
    datatype, shape = known[tensor.name]
    if tensor.datatype != datatype:
        raise Refusal(400, f"{tensor.name} is {tensor.datatype}; it must be {datatype}.")
    # A column of photos, which some clients send, is treated as a row.
    given = tensor.shape[:1] if tensor.shape[1:] == (1,) else tensor.shape
    if len(given) != len(shape) or list(given[1:]) != shape[1:]:
        raise Refusal(400, f"{tensor.name} has the shape {list(tensor.shape)}; it must be {shape}.")
    check_number(given[0], most)
    if not isinstance(tensor.data, bytes | memoryview):
        return tensor.name, list(tensor.data)
    size = len(tensor.data) // given[0]
    return tensor.name, [tensor.data[at : at + size] for at in range(0, len(tensor.data), size)]


def check_number(photos: int, most: int) -> None:
    """Refuse a request with no photos, or with more than `most`."""
    if not 1 <= photos <= most:
        raise Refusal(
            413 if photos else 400, f"{photos} photos in one request; allowed are 1 to {most}."
        )


def wanted_outputs(outputs: Sequence[RequestedOutput], served: Served) -> list[str]:
    """The names of the outputs to compute; Refusal 400 for unknown ones."""
    known = served.all_outputs
    for each in outputs:
        if each.name not in known:
            raise Refusal(
                400, f"no output {each.name[:128]!r}; {served.name} has {', '.join(known)}."
            )
        dtype, shape = known[each.name]
        if each.classification and (dtype != "float32" or len(shape) != 1):
            raise Refusal(
                400, f"{each.name} has no classification; that is for one number for each class."
            )
    return list(dict.fromkeys(each.name for each in outputs)) or list(served.outputs)


def join_outputs(
    request: InferenceRequest, served: Served, answers: Sequence[Mapping[str, NDArray[Any]]]
) -> list[OutputTensor]:
    """Stack the outputs of all photos into one tensor each."""
    wanted = request.outputs or [
        RequestedOutput(name, is_binary=request.is_binary) for name in served.outputs
    ]
    found = []
    for each in wanted:
        values = np.stack([arrays[each.name] for arrays in answers])
        if each.classification:
            values = _classification(values, each.classification, served.classes)
        found.append(OutputTensor(each.name, values, each.is_binary))
    return found


def _classification(values: NDArray[Any], count: int, classes: Sequence[str]) -> NDArray[np.str_]:
    """The `count` highest values of each photo as Triton's "value:index:label", (N, count)."""
    rows = []
    for row in values:
        order = np.argsort(-row, kind="stable")[:count]
        labels = [f":{classes[at]}" if len(classes) == len(row) else "" for at in order]
        rows.append([f"{row[at]:f}:{at}{label}" for at, label in zip(order, labels, strict=True)])
    return np.array(rows, dtype=np.str_)
