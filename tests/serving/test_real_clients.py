"""Clients that others wrote, in an environment of their own: `make clients` installs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.runtime.classifier import Classifier
from tests.serving.conftest import photo
from tests.serving.servers import Server, serving

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
CLIENTS = Path(__file__).parent / "clients"
CONTENTS = [photo(1), photo(2, "PNG")]

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="tritonclient and kserve need other versions of numpy's companions and protobuf than "
    "this environment has; 'make clients' installs them in .venv-clients",
)


@pytest.fixture(scope="module")
def controlled(bundle: Path) -> Iterator[Server]:
    with serving(
        f"tiny={bundle}", "--workers", 1, "--drain", 0, "--allow-control", "--timeout", 30,
        "--grpc-port", 0,
    ) as running:  # fmt: skip
        yield running


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}" for number in range(len(CONTENTS))]
    for path, content in zip(paths, CONTENTS, strict=True):
        path.write_bytes(content)
    return paths


def _run(script: str, *arguments: object) -> dict[str, Any]:
    done = subprocess.run(
        [PYTHON, CLIENTS / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _asked_by_triton(
    script: str, address: str, classifier: Classifier, photos: list[Path], folder: Path
) -> dict[str, Any]:
    """What a client of Triton found, once what HTTP and gRPC have in common is right."""
    pixels = np.stack([classifier.manifest.preprocessing(each) for each in CONTENTS])
    np.save(folder / "pixels.npy", pixels)
    found = _run(script, address, "tiny", folder / "pixels.npy", *photos)
    expected = [classifier.predict(each) for each in CONTENTS]
    logits = [each.logits for each in expected]
    assert [found[key] for key in ("live", "ready", "model_ready", "loaded")] == [True] * 4
    assert [found[key] for key in ("other_ready", "unloaded")] == [False, False]
    assert [found[key]["name"] for key in ("server", "model")] == ["pplcnet", "tiny"]
    assert (found["id"], found["version"]) == ("seven", "1")
    for given, values in (
        (found["probabilities"], [each.probabilities for each in expected]),
        (found["logits"], logits),
        (found["pixels"], [logits] * len(found["pixels"])),
    ):
        np.testing.assert_allclose(given, values, rtol=0, atol=1e-6)
    assert found["label"] == [each.best.label for each in expected]
    assert [[text.split(":")[2] for text in row] for row in found["classification"]] == [
        [score.label for score in each.top(2)] for each in expected
    ]
    assert "not an image" in found["errors"]["photo"][1]
    assert int(found["statistics"]["inference_stats"]["success"]["count"]) > 0
    assert [each["state"] for each in found["index"]] == ["READY"]
    return found


def test_tritonclient(
    controlled: Server, classifier: Classifier, photos: list[Path], tmp_path: Path
) -> None:
    address = controlled.url.partition("//")[2]
    found = _asked_by_triton("triton_http.py", address, classifier, photos, tmp_path)
    assert len(found["pixels"]) == 2
    np.testing.assert_allclose(
        found["json_probabilities"],
        [classifier.predict(each).probabilities for each in CONTENTS],
        rtol=0,
        atol=1e-6,
    )
    assert found["json_label"] == found["label"]
    statuses = {
        "model": "404", "version": "404", "input": "400", "photo": "422", "compressed": "415",
        "load": "400",
    }  # fmt: skip
    assert {name: error[0] for name, error in found["errors"].items()} == statuses


def test_tritonclient_over_grpc(
    controlled: Server, classifier: Classifier, photos: list[Path], tmp_path: Path
) -> None:
    found = _asked_by_triton("triton_grpc.py", controlled.grpc, classifier, photos, tmp_path)
    assert len(found["pixels"]) == 1
    codes = {
        "model": "NOT_FOUND", "version": "NOT_FOUND", "photo": "INVALID_ARGUMENT",
        "load": "INVALID_ARGUMENT",
    }  # fmt: skip
    assert {name: error[0] for name, error in found["errors"].items()} == codes


def test_kserve(controlled: Server, classifier: Classifier, photos: list[Path]) -> None:
    found = _run("kserve_rest.py", controlled.url, "tiny", *photos)
    expected = [classifier.predict(each) for each in CONTENTS]
    assert [found[key] for key in ("live", "ready", "model_ready")] == [True] * 3
    for key in ("binary True", "binary False", "json True", "json False"):
        assert found[key]["id"] == "7"
        assert found[key]["label"] == [each.best.label for each in expected]
        np.testing.assert_allclose(
            found[key]["probabilities"],
            [each.probabilities for each in expected],
            rtol=0,
            atol=1e-6,
        )
