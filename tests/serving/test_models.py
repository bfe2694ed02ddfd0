"""Several models and versions: loaded, replaced and taken away while the server answers."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import write_bundle
from pplcnet.runtime.model import Model
from pplcnet.tasks.task import EMBEDDING
from tests.serving.conftest import photo, write_with_embedding
from tests.serving.servers import PATIENCE, Server, serving


def _write(bundle: Path, place: Path, first_class: str) -> Path:
    """The same network under other names of its classes."""
    opened = Bundle.open(bundle)
    manifest = replace(opened.manifest, classes=(first_class, "dog", "eel"))
    return write_bundle(place, manifest, {"model.onnx": opened.read("model.onnx")}).path


def _damage(bundle: Path) -> None:
    network = bundle / "model.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"?")


@pytest.fixture(scope="module")
def folder(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundles that belongs to the server."""
    folder = tmp_path_factory.mktemp("repository")
    _write(bundle, folder / "animals" / "1", "cat")
    _write(bundle, folder / "animals" / "2", "lion")
    write_with_embedding(bundle, folder / "vectors.bundle")
    _write(bundle, folder / "broken.bundle", "cat")
    _damage(folder / "broken.bundle")
    return folder


@pytest.fixture(scope="module")
def several(folder: Path, bundle: Path) -> Iterator[Server]:
    with serving(
        folder, f"given={bundle}", "--workers", 2, "--keep-versions", 2, "--allow-control",
        "--drain", 0,
    ) as running:  # fmt: skip
        yield running


def _classes(server: Server, path: str = "animals") -> list[str]:
    return server.get(f"/v2/models/{path}").json["parameters"]["classes"]


def _states(server: Server) -> dict[tuple[str, str], str]:
    index = server.post("/v2/repository/index").json
    return {(each["name"], each["version"]): each["state"] for each in index}


def _load(server: Server, name: str = "animals") -> tuple[int, str]:
    answer = server.post(f"/v2/repository/models/{name}/load")
    return answer.status, answer.json.get("error", "")


def test_the_index_says_what_answers_and_why_not(several: Server) -> None:
    index = {each["name"]: each for each in several.post("/v2/repository/index").json}
    assert index["given"]["state"] == "READY"
    assert index["broken"]["state"] == "UNAVAILABLE"
    assert "The bundle is damaged" in index["broken"]["reason"]
    ready = several.post("/v2/repository/index", {"ready": True}).json
    assert {each["name"] for each in ready} == {"animals", "given", "vectors"}
    answer = several.post("/v1/classify/broken", photo())
    assert (answer.status, "damaged" in answer.error) == (503, True)
    assert several.get("/v2/health/ready").status == 503  # one of its models does not answer


def test_the_highest_version_answers_where_none_is_named(several: Server) -> None:
    assert several.get("/v2/models/animals").json["versions"] == ["1", "2"]
    assert _classes(several)[0] == "lion"
    assert _classes(several, "animals/versions/1")[0] == "cat"
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": [7] * 3072}
    for version in ("1", "2"):
        path = f"/v2/models/animals/versions/{version}/infer"
        assert several.post(path, {"inputs": [tensor]}).json["model_version"] == version
    assert "name a model" in several.post("/v1/classify", photo()).error


def test_a_new_version_takes_over_and_an_old_one_goes(
    several: Server, folder: Path, bundle: Path
) -> None:
    _write(bundle, folder / "animals" / "3", "tiger")
    assert _load(several) == (200, "")
    assert _classes(several)[0] == "tiger"
    assert several.get("/v2/models/animals").json["versions"] == ["2", "3"]
    assert several.get("/v2/models/animals/versions/1").status in (404, 503)
    shutil.rmtree(folder / "animals" / "3")
    assert _load(several) == (200, "")
    assert _classes(several)[0] == "lion"


def test_a_version_that_fails_changes_nothing_and_says_so_each_time(
    several: Server, folder: Path, bundle: Path
) -> None:
    _write(bundle, folder / "animals" / "4", "puma")
    _damage(folder / "animals" / "4")
    for _ in range(2):
        status, error = _load(several)
        assert (status, "The bundle is damaged" in error) == (400, True)
        assert _classes(several)[0] == "lion"
    shutil.rmtree(folder / "animals" / "4")
    assert _load(several) == (200, "")
    assert ("animals", "4") not in _states(several)


def test_unloading_and_loading_by_request(several: Server) -> None:
    assert several.post("/v2/repository/models/given/unload").status == 200
    answer = several.post("/v1/classify/given", photo())
    assert (answer.status, "unloaded by request" in answer.error) == (503, True)
    several.process.send_signal(signal.SIGHUP)  # which does not load it again
    assert _load(several, "given") == (200, "")
    assert several.post("/v1/classify/given", photo()).status == 200
    assert _load(several, "nothing")[0] == 400
    assert several.post("/v2/repository/models/nothing/unload").status == 404
    overridden = {"parameters": {"config": "{}"}}
    assert several.post("/v2/repository/models/given/load", overridden).status == 400


def test_an_embedding_is_given_where_it_is_named(several: Server, folder: Path) -> None:
    model = Model(folder / "vectors.bundle")
    outputs = several.get("/v2/models/vectors").json["outputs"]
    assert outputs[-1] == {"name": EMBEDDING, "datatype": "FP32", "shape": [-1, 1280]}
    pixels = model.manifest.preprocessing(photo())
    tensor = {
        "name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3],
        "data": pixels.ravel().tolist(),
    }  # fmt: skip
    path = "/v2/models/vectors/infer"
    plain = several.post(path, {"inputs": [tensor]}).json["outputs"]
    assert [each["name"] for each in plain] == [each["name"] for each in outputs[:-1]]
    wanted = [{"name": EMBEDDING}, {"name": "logits"}]
    vector, logits = several.post(path, {"inputs": [tensor], "outputs": wanted}).json["outputs"]
    expected = model.embed(photo(), normalize=False)
    np.testing.assert_allclose(vector["data"], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(logits["data"], plain[-1]["data"], rtol=0, atol=1e-6)


def test_statistics_count_photos_and_times(several: Server) -> None:
    before = several.get("/v2/models/given/stats").json["model_stats"][0]
    several.post("/v1/classify/given", photo())
    several.post("/v1/classify/given", b"no photo")
    after = several.get("/v2/models/given/versions/1/stats").json["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 1
    for name in ("success", "fail"):
        counts = [each["inference_stats"][name]["count"] for each in (before, after)]
        assert counts[1] == counts[0] + 1
    for name in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert after["inference_stats"][name]["ns"] > 0
    names = {each["name"] for each in several.get("/v2/models/stats").json["model_stats"]}
    assert names == {"animals", "given", "vectors"}
    assert several.get("/v2/models/nothing/stats").status == 404


def test_without_control_nothing_is_loaded_by_request(server: Server) -> None:
    for what in ("load", "unload"):
        answer = server.post(f"/v2/repository/models/tiny/{what}")
        assert (answer.status, "--allow-control" in answer.error) == (403, True)


def _until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_bundle_is_replaced_under_load_without_a_failed_request(
    bundle: Path, tmp_path: Path
) -> None:
    place = _write(bundle, tmp_path / "animals.bundle", "cat")
    statuses: list[int] = []
    stop = threading.Event()
    with serving(place, "--workers", 2, "--timeout", 30, "--drain", 0) as server:

        def ask() -> None:
            while not stop.is_set():
                statuses.append(server.post("/v1/classify", photo()).status)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for each in threads:
            each.start()
        for name in ("lion", "tiger"):
            place = _write(bundle, tmp_path / f"{name}.bundle", name)
            for file in ("model.onnx", "manifest.json"):
                (place / file).replace(tmp_path / "animals.bundle" / file)
            server.process.send_signal(signal.SIGHUP)
            _until(lambda name=name: _classes(server)[0] == name)
        _damage(tmp_path / "animals.bundle")
        (tmp_path / "animals.bundle" / "manifest.json").touch()
        server.process.send_signal(signal.SIGHUP)
        _until(lambda: any("cannot load" in line for line in server.log))
        # Nor does a new worker take what is on disk now.
        before = server.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        _until(lambda: len(server.workers()) == 2 and not set(before) & set(server.workers()))
        answered = len(statuses) + 20
        _until(lambda: len(statuses) > answered)
        stop.set()
        for each in threads:
            each.join(PATIENCE)
        assert _classes(server)[0] == "tiger"
        assert server.get("/v2/health/ready").status == 200
    assert set(statuses) == {200}
