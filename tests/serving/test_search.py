"""Galleries over HTTP: the most similar photos, a class or none of these."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pplcnet.gallery.changing import add_to_gallery, build_gallery
from pplcnet.gallery.class_photos import find_class_photos
from pplcnet.gallery.gallery import Gallery
from pplcnet.runtime.model import Model
from tests.serving.conftest import photo, write_with_embedding
from tests.serving.servers import PATIENCE, SOURCE, Server, serving


def _photos(folder: Path, classes: range, numbers: range) -> Path:
    for label in classes:
        place = folder / f"class_{label}"
        place.mkdir(parents=True)
        for number in numbers:
            (place / f"{number}.jpg").write_bytes(photo(label + 3 * number))
    return folder


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle `net` and the gallery `things`, made with it elsewhere."""
    folder = tmp_path_factory.mktemp("served")
    elsewhere = write_with_embedding(bundle, folder / "elsewhere.bundle")
    photos, _ = find_class_photos(_photos(folder / "photos", range(3), range(4)))
    repository = folder / "repository"
    repository.mkdir()
    with Model(elsewhere) as model:
        build_gallery(model, photos, repository / "things", bundle=elsewhere)
    shutil.move(elsewhere, repository / "net.bundle")
    return repository


@pytest.fixture(scope="module")
def searching(served: Path) -> Iterator[Server]:
    with serving(served, "--workers", 2, "--drain", 0) as running:
        yield running


def _expected(served: Path, content: bytes, **options: object) -> dict[str, object]:
    with Model(served / "net.bundle", threads=1) as model:
        return Gallery.open(served / "things").search(model.embed(content), **options).to_dict()


def _until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_search_answers_as_the_gallery_does(searching: Server, served: Path) -> None:
    for number in (0, 4, 31):
        answer = searching.post("/v1/search/things?top=3", photo(number))
        assert answer.status == 200
        found, expected = answer.json, _expected(served, photo(number), count=3)
        assert found["gallery"] == "things"
        assert found["label"] == expected["label"]
        assert found["threshold"] == expected["threshold"]
        assert [each["photo"] for each in found["matches"]] == [
            each["photo"] for each in expected["matches"]
        ]
        np.testing.assert_allclose(
            [each["similarity"] for each in found["matches"]],
            [each["similarity"] for each in expected["matches"]],
            atol=1e-5,
        )
        assert set(found["ms"]) == {"queue", "decode", "network"}


def test_one_match_is_the_default_and_none_of_these_an_answer(searching: Server) -> None:
    own = searching.post("/v1/search/things", photo(4)).json
    assert [each["photo"] for each in own["matches"]] == ["class_1/1.jpg"]
    assert searching.post("/v1/search/things?threshold=0.99", photo(4)).json["label"] == "class_1"
    other = searching.post("/v1/search/things?threshold=1", photo(31)).json
    assert other["label"] is None
    assert other["threshold"] == 1
    assert len(other["matches"]) == 1


def test_each_file_of_a_form_is_searched_for(searching: Server) -> None:
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="%s"\r\n\r\n%s\r\n' % each
        for each in ((b"a.jpg", photo(4)), (b"b.jpg", b"no photo"))
    )
    kind = "multipart/form-data; boundary=x"
    answer = searching.post("/v1/search/things", body + b"--x--\r\n", content_type=kind).json
    first, second = answer["photos"]
    assert answer["gallery"] == "things"
    assert (first["path"], first["matches"][0]["label"]) == ("a.jpg", "class_1")
    assert "image" in second["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("nothing", photo(), 404, "no gallery 'nothing'; there are: things"),
        ("net", photo(), 404, "no gallery 'net'"),
        ("things?threshold=x", photo(), 400, "threshold is 'x'"),
        ("things?threshold=nan", photo(), 400, "threshold is 'nan'"),
        ("things?threshold=1.5", photo(), 400, "from -1 to 1"),
        ("things?top=0", photo(), 400, "top is '0'"),
        ("things?treshold=0.5", photo(), 400, "unknown option 'treshold' in the query"),
        ("things", b"", 400, "the body is empty"),
        ("things", b"hello", 422, "the photo: not an image"),
    ],
)
def test_what_cannot_be_searched_says_why(
    searching: Server, path: str, body: bytes, status: int, message: str
) -> None:
    answer = searching.post(f"/v1/search/{path}", body)
    assert answer.status == status
    assert message in answer.error


def test_galleries_are_listed_apart_from_models(searching: Server) -> None:
    (gallery,) = searching.get("/v1/search").json
    assert gallery["name"] == "things"
    assert gallery["photos"] == 12
    assert gallery["classes"] == ["class_0", "class_1", "class_2"]
    assert gallery["precision"] == "float32"
    assert [each["name"] for each in searching.post("/v2/repository/index").json] == ["net"]
    assert searching.get("/v2/health/ready").status == 200
    assert searching.post("/v1/classify", photo()).json["model"] == "net"
    searching.post("/v1/search/things", photo())
    assert 'model="gallery/things"' in searching.get("/metrics").body.decode()


def test_a_gallery_changes_while_it_is_served_and_its_worker_may_die(
    served: Path, tmp_path: Path
) -> None:
    repository = Path(shutil.copytree(served, tmp_path / "repository"))
    more = _photos(tmp_path / "more", range(1), range(9, 10))
    with serving(repository, "--workers", 1, "--drain", 0) as running:

        def nearest() -> str:
            answer = running.post("/v1/search/things", photo(27)).json
            return str(answer["matches"][0]["photo"])

        before = nearest()
        with Model(repository / "net.bundle") as model:
            added = add_to_gallery(repository / "things", model, find_class_photos(more)[0])
        assert added.added == 1
        assert nearest() == before  # until it is told to look
        os.kill(running.workers()[0], signal.SIGKILL)
        assert nearest() == "class_0/9.jpg"  # the old files are gone
        running.process.send_signal(signal.SIGHUP)
        _until(lambda: running.get("/v1/search").json[0]["photos"] == 13)
        assert nearest() == "class_0/9.jpg"


def test_a_gallery_alone_is_served_with_the_bundle_that_it_names(
    served: Path, tmp_path: Path
) -> None:
    photos, _ = find_class_photos(_photos(tmp_path / "photos", range(2), range(1)))
    with Model(served / "net.bundle") as model:
        build_gallery(model, photos, tmp_path / "small", bundle=served / "net.bundle")
    with serving(f"two={tmp_path / 'small'}", "--workers", 1, "--drain", 0) as running:
        assert running.post("/v1/search/two", photo(1)).json["label"] == "class_1"
        assert running.post("/v1/classify", photo()).status == 400


def test_a_gallery_whose_network_is_not_there_is_an_error_at_the_start(
    served: Path, bundle: Path
) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pplcnet", "serve", "--port", "0", "--workers", "1",
            f"animals={bundle}", str(served / "things"),
        ],
        capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "the network that made it (pplcnet_x0_25 in float32" in done.stderr
