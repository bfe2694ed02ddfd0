"""The Open Inference Protocol v2 over HTTP, in JSON and in binary."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest

from pplcnet.runtime.classifier import Classifier
from tests.serving.conftest import photo
from tests.serving.servers import Answer, Server

PATH = "/v2/models/tiny/infer"
OUTPUTS = ["probabilities", "label", "logits"]


def _pack(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _ask(server: Server, request: dict[str, Any], data: bytes = b"", path: str = PATH) -> Answer:
    head = json.dumps(request).encode()
    if not data:
        return server.post(path, head)
    return server.post(path, head + data, inference_header_content_length=str(len(head)))


def _photos(*contents: bytes, **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(each).decode() for each in contents]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}
    return {"inputs": [tensor], **more}


def _by_name(answer: Answer) -> dict[str, dict[str, Any]]:
    assert answer.status == 200, answer.body
    return {each["name"]: each for each in answer.json["outputs"]}


def test_photos_in_json_are_answered_as_by_a_classifier(
    server: Server, classifier: Classifier
) -> None:
    contents = [photo(number) for number in range(5)]
    answer = _ask(server, _photos(*contents, id="seven"))
    assert (answer.json["model_name"], answer.json["id"]) == ("tiny", "seven")
    outputs = _by_name(answer)
    assert list(outputs) == OUTPUTS
    expected = [classifier.predict(each) for each in contents]
    for name in ("probabilities", "logits"):
        assert outputs[name]["datatype"] == "FP32"
        assert outputs[name]["shape"] == [5, 3]
        values = np.reshape(outputs[name]["data"], (5, 3))
        np.testing.assert_allclose(
            values, [getattr(each, name) for each in expected], rtol=0, atol=1e-6
        )
    assert outputs["label"]["data"] == [each.best.label for each in expected]


def test_pixels_and_photos_in_binary_come_back_in_binary(
    server: Server, classifier: Classifier
) -> None:
    contents = [photo(1), photo(2)]
    data = b"".join(map(_pack, contents))
    pixels = np.stack([classifier.manifest.preprocessing(each) for each in contents])
    forms = [
        ({"name": "image", "datatype": "BYTES", "shape": [2]}, data),
        ({"name": "image", "datatype": "BYTES", "shape": [2, 1]}, data),
        ({"name": "pixels", "datatype": "UINT8", "shape": [2, 32, 32, 3]}, pixels.tobytes()),
    ]
    expected = np.stack([classifier.predict(each).logits for each in contents])
    for tensor, content in forms:
        request = {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(content)}}],
            "outputs": [
                {"name": "logits", "parameters": {"binary_data": True}},
                {"name": "label"},
                {"name": "label", "parameters": {"binary_data": True}},
            ],
        }
        answer = _ask(server, request, content)
        assert answer.status == 200, answer.body
        length = int(answer.headers["inference-header-content-length"])
        logits, plain, label = json.loads(answer.body[:length])["outputs"]
        rest = answer.body[length:]
        size = logits["parameters"]["binary_data_size"]
        values = np.frombuffer(rest[:size], np.float32).reshape(logits["shape"])
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)
        assert rest[size:] == b"".join(_pack(each.encode()) for each in plain["data"])
        assert label["parameters"]["binary_data_size"] == len(rest) - size


def test_pixels_in_json_may_be_nested_or_flat(server: Server, classifier: Classifier) -> None:
    pixels = classifier.manifest.preprocessing(photo())[None]
    expected = classifier.predict(photo()).logits
    for data in (pixels.tolist(), pixels.ravel().tolist()):
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": data}
        answer = _ask(server, {"inputs": [tensor], "outputs": [{"name": "logits"}]})
        np.testing.assert_allclose(_by_name(answer)["logits"]["data"], expected, rtol=0, atol=1e-6)


def test_classification_gives_value_index_and_label(server: Server, classifier: Classifier) -> None:
    wanted = {"name": "probabilities", "parameters": {"classification": 2}}
    output = _by_name(_ask(server, _photos(photo(), outputs=[wanted])))["probabilities"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    expected = classifier.predict(photo()).top(2)
    for text, score in zip(output["data"], expected, strict=True):
        value, index, label = text.split(":")
        assert (int(index), label) == (score.class_index, score.label)
        assert float(value) == pytest.approx(score.probability, abs=1e-6)


def _changed(**changes: Any) -> dict[str, Any]:
    request = _photos(photo())
    request["inputs"][0].update(changes)
    return request


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "inputs must be a list of at least one tensor"),
        ({"inputs": [1]}, "inputs[0] must be an object"),
        ({"inputs": _photos(photo())["inputs"] * 2}, "2 inputs; give one, image or pixels"),
        (_changed(name="images"), "no input 'images'; tiny takes image or pixels"),
        (_changed(datatype="FP32"), "inputs[0].datatype is 'FP32'; it must be BYTES"),
        (_changed(datatype="UINT8", data=[1]), "image is UINT8; it must be BYTES"),
        (_changed(shape=[2]), "inputs[0] holds 1 values; its shape [2] needs 2"),
        (_changed(shape=[]), "inputs[0].shape must be a list of 1 to 8"),
        (_changed(shape=[-1]), "inputs[0].shape must be a list of 1 to 8"),
        (_changed(shape=[1, 1, 1]), "image has the shape [1, 1, 1]; it must be [-1]"),
        (_changed(shape=[0], data=[]), "0 photos in one request; allowed are 1 to 8"),
        (_changed(data=["?"]), "inputs[0].data[0] must be the file of a photo in base64"),
        (_changed(data="x"), "inputs[0].data must be a list"),
        (_changed(data=[["x"], "x"]), "inputs[0].data must be one list, or lists nested"),
        (_changed(parameters={"binary_data_size": 4}), "not both"),
        (_changed(parameters=[]), "inputs[0].parameters must be an object"),
        (_photos(photo(), outputs=[{"name": "x"}]), "no output 'x'; tiny has probabilities"),
        (_photos(photo(), outputs=[{}]), "outputs[0] must be an object with a name"),
        (
            _photos(photo(), outputs=[{"name": "label", "parameters": {"classification": 1}}]),
            "label has no classification",
        ),
        (
            _photos(photo(), outputs=[{"name": "label", "parameters": {"binary_data": 1}}]),
            "outputs[0].parameters.binary_data must be true or false",
        ),
        (_photos(photo(), id=7), "id must be a string"),
        (_photos(photo(), parameters=7), "parameters must be an object"),
    ],
)
def test_a_wrong_request_names_the_field(
    server: Server, request_: dict[str, Any], message: str
) -> None:
    answer = _ask(server, request_)
    assert answer.status == 400
    assert message in answer.error


def test_wrong_binary_data_names_the_sizes(server: Server) -> None:
    def ask(size: object, data: bytes, **changes: Any) -> str:
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], **changes}
        answer = _ask(server, {"inputs": [{**tensor, "parameters": {"binary_data_size": size}}]},
                      data)  # fmt: skip
        assert answer.status == 400
        return answer.error

    assert "10 bytes of the body are left" in ask(11, b"0123456789")
    assert "is -1; 10 bytes" in ask(-1, b"0123456789")
    assert "2 bytes follow the data of the last input" in ask(5, _pack(b"x") + b"yz")
    assert "an element of 825372980 bytes, but only 2 bytes" in ask(6, b"412156")
    assert "ends within the length" in ask(2, b"41")
    assert "holds 1 elements; its shape [2] needs 2" in ask(5, _pack(b"x"), shape=[2])
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3]}
    assert "holds 5 values; its shape [1, 32, 32, 3] needs 3072" in ask(5, b"12345", **pixels)


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "99999", "9" * 40])
def test_a_json_part_longer_than_the_body_is_refused(server: Server, length: str) -> None:
    answer = server.post(PATH, b"{}", inference_header_content_length=length)
    assert answer.status == 400
    assert "Inference-Header-Content-Length" in answer.error


def test_a_photo_that_cannot_be_used_is_named_by_its_number(server: Server) -> None:
    answer = _ask(server, _photos(photo(), b"no photo"))
    assert answer.status == 422
    assert "photo 2 of 2: not an image" in answer.error
    answer = _ask(server, _photos(*[photo()] * 9))
    assert (answer.status, "allowed are 1 to 8" in answer.error) == (413, True)


def test_metadata_describe_the_server_and_the_model(server: Server, classifier: Classifier) -> None:
    found = server.get("/v2").json
    assert found["name"] == "pplcnet"
    assert "binary_tensor_data" in found["extensions"]
    model = server.get("/v2/models/tiny").json
    assert model == server.get("/v2/models/tiny/versions/1").json
    assert (model["name"], model["versions"]) == ("tiny", ["1"])
    assert [each["name"] for each in model["outputs"]] == OUTPUTS
    assert model["inputs"][1] == {
        "name": "pixels", "datatype": "UINT8", "shape": [-1, 32, 32, 3],
    }  # fmt: skip
    assert model["parameters"]["classes"] == list(classifier.classes)
    assert server.get("/v2/models/tiny/versions/2").status == 404
    assert "there are: tiny" in server.get("/v2/models/other").error


def test_health_is_live_and_ready(server: Server) -> None:
    assert server.get("/v2/health/live").json == {"live": True}
    assert server.get("/v2/health/ready").json == {"live": True, "ready": True}
    assert server.get("/v2/models/tiny/ready").json == {"name": "tiny", "ready": True}
    assert server.get("/v2/models/other/ready").status == 404
