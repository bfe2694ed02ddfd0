"""The same answers over gRPC, asked with grpcio's own client."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.runtime.classifier import Classifier
from tests.serving.conftest import photo
from tests.serving.servers import PATIENCE, Server, serving
from tests.serving.test_access import write_certificate

grpc = pytest.importorskip("grpc", reason="grpcio (extra 'grpc') is not installed")

from pplcnet.serving.grpc_messages import HEALTH, INFERENCE, messages  # noqa: E402

KEY = "a-key-of-some-length"
CODES = grpc.StatusCode
BAD = CODES.INVALID_ARGUMENT


class Client:
    """Asks a server; values of a request's fields are given by name."""

    def __init__(self, channel: Any, key: str = "") -> None:
        self.channel, self.key = channel, key

    def ask(
        self, method: str, /, *, service: str = INFERENCE, timeout: float = PATIENCE, **values: Any
    ) -> Any:
        request = messages()[f"{method}Request"](**values)
        call = self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=messages()[f"{method}Response"].FromString,
        )
        metadata = (("authorization", f"Bearer {self.key}"),) if self.key else ()
        return call(request, timeout=timeout, metadata=metadata)

    def infer(self, content: bytes, model: str = "tiny", **values: Any) -> Any:
        """A photo's answer, raw."""
        tensor = messages()["InferInputTensor"](name="image", datatype="BYTES", shape=[1])
        raw = len(content).to_bytes(4, "little") + content
        given = {"inputs": [tensor], "raw_input_contents": [raw], **values}
        return self.ask("ModelInfer", model_name=model, **given)

    def error(self, method: str, /, *content: bytes, **values: Any) -> Any:
        """The error that a request gets; `content` is a photo to infer."""
        with pytest.raises(grpc.RpcError) as caught:
            (self.infer if content else self.ask)(*(content or (method,)), **values)
        return caught.value


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker that obeys photos, and room for one photo to wait."""
    folder = tmp_path_factory.mktemp("grpc")
    (folder / "keys").write_text(KEY)
    with serving(
        f"tiny={bundle}", "--grpc-port", 0, "--workers", 1, "--queue", 1, "--allow-control",
        "--api-key-file", folder / "keys", "--max-request-megabytes", 1, "--max-photos", 3,
        "--timeout", 30, "--receive-timeout", 1, "--drain", 0, faults=folder,
    ) as running:  # fmt: skip
        yield running


@pytest.fixture(scope="module")
def client(served: Server) -> Iterator[Client]:
    with grpc.insecure_channel(served.grpc) as channel:
        yield Client(channel, KEY)


def _arrays(answer: Any) -> dict[str, Any]:
    """The raw outputs by name; texts as lists."""
    types = {"FP32": np.float32, "UINT8": np.uint8}
    found: dict[str, Any] = {}
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        if output.datatype in types:
            found[output.name] = np.frombuffer(raw, types[output.datatype]).reshape(output.shape)
            continue
        texts = []
        while raw:
            size = int.from_bytes(raw[:4], "little")
            texts.append(raw[4 : 4 + size].decode())
            raw = raw[4 + size :]
        found[output.name] = texts
    return found


def test_states_and_descriptions_are_those_of_http(served: Server, client: Client) -> None:
    assert client.ask("ServerLive").live
    assert client.ask("ServerReady").ready
    assert client.ask("ModelReady", name="tiny").ready
    assert not client.ask("ModelReady", name="other").ready
    assert client.ask("Check", service=HEALTH).status == 1
    key = {"authorization": f"Bearer {KEY}"}
    server, model = (served.get(path, **key).json for path in ("/v2", "/v2/models/tiny"))
    metadata = client.ask("ServerMetadata")
    assert (metadata.name, list(metadata.extensions)) == ("pplcnet", server["extensions"])
    described = client.ask("ModelMetadata", name="tiny")
    assert (described.platform, list(described.versions)) == (model["platform"], ["1"])
    for kind in ("inputs", "outputs"):
        tensors = [
            {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
            for each in getattr(described, kind)
        ]
        assert tensors == model[kind]


def test_raw_photos_are_answered_as_predict_does(client: Client, classifier: Classifier) -> None:
    contents = [photo(1), photo(2, "PNG")]
    tensor = messages()["InferInputTensor"](name="image", datatype="BYTES", shape=[2])
    raw = b"".join(len(each).to_bytes(4, "little") + each for each in contents)
    answer = client.infer(b"", inputs=[tensor], raw_input_contents=[raw], id="seven")
    assert (answer.model_name, answer.model_version, answer.id) == ("tiny", "1", "seven")
    found = _arrays(answer)
    expected = [classifier.predict(each) for each in contents]
    assert found["label"] == [each.best.label for each in expected]
    for name in ("probabilities", "logits"):
        wanted = [getattr(each, name) for each in expected]
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-6)


def test_contents_are_answered_with_contents(
    client: Client, classifier: Classifier, bundle: Path
) -> None:
    made, content = messages(), photo(1)
    expected = classifier.predict(content)
    pixels = Bundle.open(bundle).manifest.preprocessing(content)
    for name, kind, shape, values in (
        ("image", "BYTES", [1], {"bytes_contents": [content]}),
        ("pixels", "UINT8", [1, *pixels.shape], {"uint_contents": pixels.ravel().tolist()}),
    ):
        contents = made["InferTensorContents"](**values)
        tensor = made["InferInputTensor"](name=name, datatype=kind, shape=shape, contents=contents)
        wanted = [made["InferRequestedOutputTensor"](name=each) for each in ("label", "logits")]
        answer = client.ask("ModelInfer", model_name="tiny", inputs=[tensor], outputs=wanted)
        label, logits = answer.outputs
        assert not answer.raw_output_contents
        assert list(label.contents.bytes_contents) == [expected.best.label.encode()]
        np.testing.assert_allclose(
            logits.contents.fp32_contents, expected.logits, rtol=0, atol=1e-6
        )


def test_classification_lists_the_greatest(client: Client, classifier: Classifier) -> None:
    made = messages()
    output = made["InferRequestedOutputTensor"](name="probabilities")
    output.parameters["classification"].int64_param = 2
    found = _arrays(client.infer(photo(1), outputs=[output]))["probabilities"]
    top = classifier.predict(photo(1)).top(2)
    assert [each.split(":")[2] for each in found] == [each.label for each in top]


def test_errors_have_the_codes_of_grpc(client: Client) -> None:
    made = messages()
    tensor = made["InferInputTensor"]
    twice = [tensor(name="image", datatype="BYTES", shape=[4])]
    wrong = [tensor(name="image", datatype="FP32", shape=[1])]
    deep = [tensor(name="image", datatype="BYTES", shape=[1] * 9)]
    for code, text, error in (
        (CODES.NOT_FOUND, "no model 'other'", client.error("infer", b"x", model="other")),
        (CODES.NOT_FOUND, "no version", client.error("ModelMetadata", name="tiny", version="9")),
        (BAD, "the photo: not an image", client.error("infer", b"hello")),
        (BAD, "it must be BYTES", client.error("infer", b"x", inputs=wrong)),
        (BAD, "holds 1 elements", client.error("infer", b"x", inputs=twice)),
        (BAD, "shape must have", client.error("infer", b"x", inputs=deep)),
        (BAD, "2 entries for 1", client.error("infer", b"x", raw_input_contents=[b"", b""])),
        (CODES.INTERNAL, "two workers died", client.error("infer", b"crash")),
        (CODES.RESOURCE_EXHAUSTED, "larger than max", client.error("infer", bytes(1_200_000))),
        (CODES.UNAUTHENTICATED, "no valid key", Client(client.channel).error("ServerMetadata")),
    ):
        assert error.code() == code
        assert text in error.details()
    assert Client(client.channel).ask("ServerLive").live
    assert client.infer(photo()).outputs


def test_the_deadline_of_the_client_counts(client: Client) -> None:
    error = client.error("infer", b"sleep0.9", timeout=0.3)
    assert error.code() == CODES.DEADLINE_EXCEEDED
    assert client.infer(photo()).outputs


def test_a_message_that_does_not_come_ends_its_call(client: Client) -> None:
    made, method = messages(), f"/{INFERENCE}/ServerMetadata"
    call = client.channel.stream_unary(
        method,
        request_serializer=made["ServerMetadataRequest"].SerializeToString,
        response_deserializer=made["ServerMetadataResponse"].FromString,
    )
    metadata = (("authorization", f"Bearer {KEY}"),)
    over = threading.Event()

    def silence() -> Iterator[Any]:
        over.wait(PATIENCE)
        yield from ()

    with pytest.raises(grpc.RpcError) as caught:
        call(silence(), timeout=PATIENCE, metadata=metadata)
    over.set()
    assert caught.value.code() == CODES.DEADLINE_EXCEEDED
    assert "not complete within 1 s" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        call(iter(()), timeout=PATIENCE, metadata=metadata)
    assert caught.value.code() == BAD
    assert client.ask("ServerMetadata").name == "pplcnet"


def test_a_full_queue_says_when_to_try_again(client: Client) -> None:
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(client.infer, b"sleep0.4") for _ in range(6)]
        errors = [each.exception(PATIENCE) for each in asked]
    codes = [each.code() for each in errors]
    assert set(codes) == {CODES.RESOURCE_EXHAUSTED, CODES.INVALID_ARGUMENT}
    refused = next(each for each in errors if each.code() == CODES.RESOURCE_EXHAUSTED)
    trailer = dict(refused.trailing_metadata())
    assert int(trailer["grpc-retry-pushback-ms"]) >= 1000
    assert trailer["x-request-id"]


def test_models_are_listed_counted_unloaded_and_loaded(client: Client) -> None:
    client.infer(photo())
    (counted,) = client.ask("ModelStatistics", name="tiny").model_stats
    assert counted.inference_stats.success.count >= 1
    assert counted.inference_count >= 1
    (entry,) = client.ask("RepositoryIndex").models
    assert (entry.name, entry.version, entry.state) == ("tiny", "1", "READY")
    client.ask("RepositoryModelUnload", model_name="tiny")
    assert not client.ask("ModelReady", name="tiny").ready
    assert client.error("infer", photo()).code() == CODES.UNAVAILABLE
    assert list(client.ask("RepositoryIndex", ready=True).models) == []
    client.ask("RepositoryModelLoad", model_name="tiny")
    assert client.infer(photo()).outputs
    error = client.error("RepositoryModelLoad", model_name="other")
    assert error.code() == CODES.INVALID_ARGUMENT


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_and_the_end(bundle: Path, tmp_path: Path) -> None:
    write_certificate(tmp_path, "first")
    with serving(
        f"tiny={bundle}", "--grpc-port", 0, "--workers", 1, "--drain", 0, "--access-log",
        "--tls-certificate", tmp_path / "certificate.pem", "--tls-key", tmp_path / "key.pem",
        faults=tmp_path,
    ) as server:  # fmt: skip
        address = server.grpc.replace("127.0.0.1", "localhost")
        trusted = grpc.ssl_channel_credentials((tmp_path / "certificate.pem").read_bytes())
        with grpc.secure_channel(address, trusted) as channel, ThreadPoolExecutor(1) as threads:
            client = Client(channel)
            assert client.infer(photo()).outputs
            asked = threads.submit(client.error, "infer", b"sleep0.6")
            time.sleep(0.3)
            assert server.stop(signal.SIGTERM) == 0
            assert asked.result(PATIENCE).code() == CODES.INVALID_ARGUMENT
    assert any(f"path=/{INFERENCE}/ModelInfer status=200" in line for line in server.log)
