"""Convert inference requests and answers from and to the protocol's HTTP form, JSON and binary."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from pplcnet.serving.refusals import Refusal
from pplcnet.serving.tensors import (
    CLASSIFICATION,
    MOST_CLASSES,
    MOST_DIMENSIONS,
    InferenceAnswer,
    InferenceRequest,
    InputTensor,
    OutputTensor,
    RequestedOutput,
    binary_form,
    bytes_elements,
    check_count,
    check_id,
    datatype_of,
)

__all__ = ["json_body", "read_json", "read_request", "write_answer"]

# json.dumps would create an encoder for each answer.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
JSON_LENGTH = "Inference-Header-Content-Length"
# A number in JSON becomes a Python object of up to 32 bytes, an empty list one of 56: megabytes of
# brackets would take up a hundred times as much.
MOST_COMMAS, MOST_BRACKETS = 400_000, 100_000
TAKEN = {"BYTES": "the files of photos", "UINT8": "pixels"}


def read_json(text: bytes | bytearray | memoryview, what: str = "the body") -> dict[str, Any]:
    """Parse a JSON object; Refusal if it is not one, or would take too much memory."""
    text = bytes(text)
    if text.count(b",") > MOST_COMMAS or text.count(b"[") + text.count(b"{") > MOST_BRACKETS:
        raise Refusal(
            413,
            f"{what} has more than {MOST_COMMAS:,} values or {MOST_BRACKETS:,} lists; send pixels "
            "in the protocol's binary form, or photos to /v1/classify.",
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(400, f"{what} is not readable JSON: {reason[:200]}.") from None
    if not isinstance(values, dict):
        raise Refusal(400, f"{what} is a JSON {type(values).__name__}; it must be an object.")
    return values


def read_request(
    model: str, version: str, body: bytes | bytearray | memoryview, json_length: str | None
) -> InferenceRequest:
    """Read an inference request from the body of a POST.

    Args:
        json_length: the header Inference-Header-Content-Length; None if the whole body is JSON.

    Raises:
        Refusal: 400, naming the field, what was given and what is allowed.
    """
    whole = memoryview(body)
    split = len(whole)
    if json_length is not None:
        if not re.fullmatch(r"[0-9]{1,12}", json_length) or int(json_length) > len(whole):
            raise Refusal(
                400,
                f"{JSON_LENGTH} is {json_length[:40]!r}; it must be the length of the JSON part, "
                f"at most that of the body, {len(whole)} bytes.",
            )
        split = int(json_length)
    values = read_json(whole[:split], "the JSON part" if json_length is not None else "the body")
    parameters = _object(values, "parameters", "")
    identifier = values.get("id", "")
    check_id(identifier)
    rest, inputs = whole[split:], []
    for at, each in enumerate(_list(values, "inputs")):
        tensor, used = _read_input(each, f"inputs[{at}]", rest)
        inputs.append(tensor)
        rest = rest[used:]
    if len(rest):
        raise Refusal(
            400,
            f"{len(rest)} bytes follow the data of the last input; the sum of all binary_data_size "
            f"must be {len(whole) - split}.",
        )
    outputs_binary = _flag(parameters, "binary_data_output", "parameters", default=False)
    return InferenceRequest(
        model,
        version,
        inputs,
        [
            _read_output(each, f"outputs[{at}]", outputs_binary)
            for at, each in enumerate(_list(values, "outputs", required=False))
        ],
        identifier,
        outputs_binary,
    )


def _read_input(values: Any, where: str, rest: memoryview) -> tuple[InputTensor, int]:
    """A tensor, and the number of bytes of `rest` that it takes."""
    if not isinstance(values, dict):
        raise Refusal(400, f"{where} must be an object with name, datatype, shape and data.")
    name, datatype = values.get("name"), values.get("datatype")
    if not isinstance(name, str):
        raise Refusal(400, f"{where}.name must be a string.")
    if datatype not in TAKEN:
        allowed = " or ".join(f"{each} ({text})" for each, text in TAKEN.items())
        raise Refusal(400, f"{where}.datatype is {str(datatype)[:40]!r}; it must be {allowed}.")
    shape = _shape(values.get("shape"), f"{where}.shape")
    size = _object(values, "parameters", where).get("binary_data_size")
    if (size is None) == ("data" not in values):
        raise Refusal(
            400,
            f"{where} must have either data or parameters.binary_data_size"
            + ("." if size is None else ", not both."),
        )
    if size is None:
        return InputTensor(
            name, datatype, shape, _from_json(values["data"], datatype, shape, where)
        ), 0
    if type(size) is not int or not 0 <= size <= len(rest):
        raise Refusal(
            400,
            f"{where}.parameters.binary_data_size is {str(size)[:40]}; {len(rest)} bytes of the "
            "body are left for it.",
        )
    if datatype == "BYTES":
        elements = bytes_elements(rest[:size], shape, where)
        return InputTensor(name, datatype, shape, elements), size
    check_count(size, shape, where)
    return InputTensor(name, datatype, shape, rest[:size]), size


def _shape(given: Any, where: str) -> tuple[int, ...]:
    is_shape = isinstance(given, list) and 1 <= len(given) <= MOST_DIMENSIONS
    if not is_shape or not all(type(each) is int and 0 <= each < 1 << 31 for each in given):
        raise Refusal(
            400, f"{where} must be a list of 1 to {MOST_DIMENSIONS} whole numbers of at least 0."
        )
    return tuple(given)


def _from_json(data: Any, datatype: str, shape: Sequence[int], where: str) -> list[bytes] | bytes:
    flat = _flat(data, where)
    check_count(len(flat), shape, where)
    if datatype == "BYTES":
        return [_decoded(each, f"{where}.data[{at}]") for at, each in enumerate(flat)]
    if not all(type(each) is int and 0 <= each <= 255 for each in flat):
        raise Refusal(400, f"{where}.data must be whole numbers from 0 to 255.")
    return bytes(flat)


def _flat(data: Any, where: str) -> list[Any]:
    """The values of possibly nested lists, in order; the protocol allows both forms."""
    if not isinstance(data, list):
        raise Refusal(400, f"{where}.data must be a list.")
    flat: list[Any] = data
    for _ in range(MOST_DIMENSIONS):
        if not any(isinstance(each, list) for each in flat):
            return flat
        if not all(isinstance(each, list) for each in flat):
            break
        flat = list(chain.from_iterable(flat))
    raise Refusal(400, f"{where}.data must be one list, or lists nested as its shape says.")


def _decoded(text: Any, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Refusal(
            400, f"{where} must be the file of a photo in base64; binary data needs none."
        ) from None


def _read_output(values: Any, where: str, is_binary: bool) -> RequestedOutput:
    if not isinstance(values, dict) or not isinstance(values.get("name"), str):
        raise Refusal(400, f"{where} must be an object with a name.")
    parameters = _object(values, "parameters", where)
    count = parameters.get(CLASSIFICATION, 0)
    if type(count) is not int or not 0 <= count <= MOST_CLASSES:
        raise Refusal(
            400,
            f"{where}.parameters.classification is {str(count)[:40]!r}; it must be a whole number "
            "of at least 1, of the most probable classes.",
        )
    place = f"{where}.parameters"
    return RequestedOutput(
        values["name"], count, _flag(parameters, "binary_data", place, default=is_binary)
    )


def _flag(values: Mapping[str, Any], key: str, where: str, *, default: bool) -> bool:
    value = values.get(key, default)
    if not isinstance(value, bool):
        raise Refusal(400, f"{where}.{key} must be true or false.")
    return value


def _object(values: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    found = values.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Refusal(400, f"{where}{'.' if where else ''}{key} must be an object.")
    return found


def _list(values: Mapping[str, Any], key: str, *, required: bool = True) -> list[Any]:
    found = values.get(key)
    if found is None and not required:
        return []
    if not isinstance(found, list) or (required and not found):
        raise Refusal(400, f"{key} must be a list{' of at least one tensor' if required else ''}.")
    return found


def json_body(value: Any) -> bytes:
    """A value as compact UTF-8 JSON."""
    return _encode(value).encode()


def write_answer(answer: InferenceAnswer) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON part where binary data follow it."""
    blobs: list[bytes] = []
    described = []
    for each in answer.outputs:
        text = _describe(each)
        if each.is_binary:
            blob = binary_form(each.values)
            text["parameters"] = {**each.parameters, "binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            text["data"] = _plain(each.values)
        described.append(text)
    head = json_body(
        {
            "model_name": answer.model,
            "model_version": answer.version,
            **({"id": answer.id} if answer.id else {}),
            "outputs": described,
        }
    )
    return (b"".join([head, *blobs]), len(head)) if blobs else (head, None)


def _describe(tensor: OutputTensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "datatype": datatype_of(tensor.values),
        "shape": list(tensor.values.shape),
        **({"parameters": dict(tensor.parameters)} if tensor.parameters else {}),
    }


def _plain(values: NDArray[Any]) -> list[Any]:
    flat: list[Any] = values.ravel().tolist()
    return flat
