"""The short way: a photo's bytes, or a form, to the answer of `pplcnet predict --json`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pplcnet.runtime.classifier import Classifier
from tests.serving.conftest import photo
from tests.serving.servers import Server


def _form(*files: tuple[str, bytes], boundary: str = "xyz") -> tuple[bytes, str]:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def test_a_photo_is_answered_as_predict_does(server: Server, classifier: Classifier) -> None:
    for number, kind in enumerate(["JPEG", "PNG", "WEBP", "TIFF"]):
        content = photo(number, kind)
        answer = server.post("/v1/classify", content)
        assert answer.status == 200
        assert answer.json["predictions"] == classifier.predict(content).rows()
        assert answer.json["model"] == "tiny"
        assert set(answer.json["ms"]) == {"queue", "decode", "network"}


def test_the_model_may_be_named_and_the_answers_counted(
    server: Server, classifier: Classifier
) -> None:
    answer = server.post("/v1/classify/tiny?top=3", photo())
    assert answer.json["predictions"] == classifier.predict(photo()).rows(3)
    assert len(answer.json["predictions"]) == 3
    assert server.post("/v1/classify/other", photo()).status == 404
    assert "top is '0'" in server.post("/v1/classify?top=0", photo()).error


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("topk=3", "unknown option 'topk' in the query; this endpoint takes top, version."),
        ("top=1&top=3", "the option 'top' is in the query twice"),
        ("top=", "top is ''"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    server: Server, query: str, reason: str
) -> None:
    answer = server.post(f"/v1/classify/tiny?{query}", photo())
    assert (answer.status, answer.error[: len(reason)]) == (400, reason)


def test_a_form_has_an_answer_for_each_file(server: Server, classifier: Classifier) -> None:
    body, kind = _form(("a.jpg", photo(1)), ("b.jpg", b"no photo"), ("c.png", photo(2, "PNG")))
    answer = server.post("/v1/classify", body, content_type=kind)
    first, second, third = answer.json["photos"]
    assert answer.status == 200
    assert [each["path"] for each in (first, second, third)] == ["a.jpg", "b.jpg", "c.png"]
    assert first["predictions"] == classifier.predict(photo(1)).rows()
    assert "image" in second["error"]
    assert third["predictions"] == classifier.predict(photo(2, "PNG")).rows()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is empty"),
        (b"hello", 422, "the photo: not an image"),
        (photo()[:200], 422, "the photo: truncated or damaged"),
        (photo(size=(1100, 1000)), 422, "the photo: has 1100x1000 pixels; at most 1,000,000"),
        (bytes(1 << 20) + b"x", 413, "a request may have at most 1 MB"),
    ],
    ids=["empty", "text", "cut off", "too many pixels", "too large"],
)
def test_what_cannot_be_answered_says_why(
    server: Server, body: bytes, status: int, message: str
) -> None:
    answer = server.post("/v1/classify", body)
    assert answer.status == status
    assert message in answer.error


def test_a_form_that_is_none_says_why(server: Server) -> None:
    body, kind = _form(("a.jpg", photo()))
    assert "boundary" in server.post("/v1/classify", body, content_type="multipart/form-data").error
    wrong = server.post("/v1/classify", body, content_type=kind.replace("xyz", "abc"))
    assert wrong.status == 400
    many, kind = _form(*[("a.jpg", b"x")] * 9)
    assert server.post("/v1/classify", many, content_type=kind).status == 413


def test_curl_sends_photos_in_both_ways(
    server: Server, classifier: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo())
    label = classifier.predict(photo()).best.label
    for given in (["--data-binary", f"@{path}"], ["-F", f"photo=@{path}"]):
        done = subprocess.run(
            ["curl", "-sS", "-m", "30", *given, f"{server.url}/v1/classify"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert f'"label":"{label}"' in done.stdout


def test_a_request_has_the_id_that_it_was_given(server: Server) -> None:
    assert server.get("/v2", x_request_id="abc-1").headers["x-request-id"] == "abc-1"
    made = server.get("/v2", x_request_id="a b").headers["x-request-id"]
    assert len(made) == 16


def test_other_paths_methods_and_hosts_are_refused(server: Server) -> None:
    assert server.get("/nothing").status == 404
    assert server.get("/v1/classify").status == 405
    assert server.get("/v2", host="evil.example").status == 421
    assert server.get("/v2", host=f"localhost:{server.port}").status == 200
    answer = server.post("/v1/classify", photo(), origin="https://evil.example")
    assert (answer.status, "--allow-origin" in answer.error) == (403, True)
    assert server.post("/v1/classify", photo(), origin=server.url).status == 200
    assert server.ask("HEAD", "/v2/health/live").status == 200
