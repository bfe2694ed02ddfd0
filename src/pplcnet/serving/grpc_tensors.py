"""Convert inference requests and answers from and to the protocol's gRPC messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from pplcnet.serving.refusals import Refusal
from pplcnet.serving.tensors import (
    CLASSIFICATION,
    MOST_CLASSES,
    MOST_DIMENSIONS,
    InferenceAnswer,
    InferenceRequest,
    InputTensor,
    RequestedOutput,
    binary_form,
    bytes_elements,
    check_count,
    check_id,
    datatype_of,
)

__all__ = ["fill_answer", "read_request"]

CONTENTS = {
    "BOOL": "bool_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip
"""Data type to the field that holds its values."""


def read_request(message: Any) -> InferenceRequest:
    """Read an inference request from a ModelInferRequest.

    The answer is raw if the inputs are.

    Raises:
        Refusal: 400, naming the field, what was given and what is allowed.
    """
    check_id(message.id)
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise Refusal(
            400, f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs."
        )
    inputs = [
        _read_input(each, raw[at] if raw else None, f"inputs[{at}]")
        for at, each in enumerate(message.inputs)
    ]
    outputs = [_read_output(each, f"outputs[{at}]") for at, each in enumerate(message.outputs)]
    return InferenceRequest(
        message.model_name, message.model_version, inputs, outputs, message.id, bool(raw)
    )


def _read_input(tensor: Any, raw: bytes | None, where: str) -> InputTensor:
    shape = tuple(tensor.shape)
    if not 1 <= len(shape) <= MOST_DIMENSIONS or min(shape) < 0:
        raise Refusal(
            400,
            f"{where}.shape must have 1 to {MOST_DIMENSIONS} whole numbers of at least 0.",
        )
    kind = tensor.datatype
    if raw is not None and tensor.HasField("contents"):
        raise Refusal(400, f"{where} must have either contents or raw_input_contents, not both.")
    data: list[bytes] | bytes
    if kind == "BYTES":
        given = tensor.contents.bytes_contents
        data = list(given) if raw is None else bytes_elements(raw, shape, where)
    elif raw is None:
        values = tensor.contents.uint_contents
        if values and max(values) > 255:
            raise Refusal(400, f"{where}.contents must be whole numbers from 0 to 255.")
        data = bytes(values)
    else:
        data = raw
    if kind in ("BYTES", "UINT8"):
        check_count(len(data), shape, where)
    return InputTensor(tensor.name, kind, shape, data)


def _read_output(tensor: Any, where: str) -> RequestedOutput:
    count = 0
    if CLASSIFICATION in tensor.parameters:
        given = tensor.parameters[CLASSIFICATION]
        name = given.WhichOneof("parameter_choice")
        count = getattr(given, name) if name in ("int64_param", "uint64_param") else -1
    if not 0 <= count <= MOST_CLASSES:
        raise Refusal(
            400, f"{where}.parameters.classification must be an int64 of at least 1, of classes."
        )
    return RequestedOutput(tensor.name, count)


def fill_answer(response: Any, answer: InferenceAnswer, *, is_raw: bool) -> None:
    """Write an answer into a ModelInferResponse."""
    response.model_name, response.model_version = answer.model, answer.version
    response.id = answer.id
    for each in answer.outputs:
        kind = datatype_of(each.values)
        output = response.outputs.add(name=each.name, datatype=kind, shape=each.values.shape)
        if is_raw:
            response.raw_output_contents.append(binary_form(each.values))
            continue
        values: Any = np.ravel(each.values).tolist()
        if kind == "BYTES":
            values = [str(value).encode() for value in values]
        getattr(output.contents, CONTENTS[kind]).extend(values)
