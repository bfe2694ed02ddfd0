"""Occlusion maps: which places of a photo an answer rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.imaging.geometry import Geometry
from pplcnet.runtime.classifier import Classifier
from pplcnet.serving.occlusion import GRID, cover, region_of
from tests.serving.conftest import photo
from tests.serving.servers import Server


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_a_map_is_what_covered_photos_lose(
    server: Server, classifier: Classifier, bundle: Path
) -> None:
    content = photo(1)
    best = classifier.predict(content).best
    found = server.post("/v1/explain/tiny", content).json
    assert (found["model"], found["version"], found["label"]) == ("tiny", "1", best.label)
    assert found["log_odds"] == pytest.approx(_log_odds(best.probability), abs=1e-3)
    assert np.shape(found["drops"]) == (GRID, GRID)
    pixels = Bundle.open(bundle).manifest.preprocessing(content)
    for row, column in ((0, 0), (3, 4), (6, 6)):
        tensor = {
            "name": "pixels", "datatype": "UINT8", "shape": [1, *pixels.shape],
            "data": cover(pixels, row, column).ravel().tolist(),
        }  # fmt: skip
        answer = server.post("/v2/models/tiny/infer", {"inputs": [tensor]}).json
        (probabilities,) = (
            each["data"] for each in answer["outputs"] if each["name"] == "probabilities"
        )
        left = _log_odds(probabilities[best.class_index])
        assert found["drops"][row][column] == pytest.approx(found["log_odds"] - left, abs=2e-3)


def test_the_class_can_be_chosen(server: Server, classifier: Classifier) -> None:
    probability = {each.label: each.probability for each in classifier.predict(photo()).top(3)}
    for label, each in probability.items():
        found = server.post(f"/v1/explain/tiny?class={label}&version=1", photo()).json
        assert found["label"] == label
        assert found["log_odds"] == pytest.approx(_log_odds(each), abs=1e-3)


def test_what_cannot_be_explained_says_why(server: Server) -> None:
    assert "no class 'cow'" in server.post("/v1/explain/tiny?class=cow", photo()).error
    assert "unknown option 'top'" in server.post("/v1/explain/tiny?top=3", photo()).error
    assert "the body is empty" in server.post("/v1/explain/tiny").error
    broken = server.post("/v1/explain/tiny", b"hello")
    assert broken.status == 422
    assert broken.error.startswith("the photo: not an image")
    assert server.post("/v1/explain/other", photo()).status == 404
    assert server.post("/v1/explain/tiny?version=7", photo()).status == 404


def test_a_patch_is_the_mean_colour_around_its_place() -> None:
    pixels = np.arange(70 * 35 * 3, dtype=np.uint32).reshape(70, 35, 3).astype(np.uint8)
    covered = cover(pixels, 0, 3)
    is_changed = (covered != pixels).any(axis=2)
    rows, columns = np.nonzero(is_changed)
    assert (rows.min(), rows.max() + 1) == (0, 15)
    assert columns.min() >= 12
    assert columns.max() < 23
    assert (covered[:15, 12:22] == np.rint(pixels.mean(axis=(0, 1)))).all()


def test_the_region_is_where_the_network_looks() -> None:
    whole = Geometry((400, 200), (0.5, 0.5), (-50.0, 0.0))
    assert region_of(whole, (100, 100)) == pytest.approx([0.25, 0, 0.75, 1])
    padded = Geometry((400, 200), (0.25, 0.25), (0.0, 0.0))
    assert region_of(padded, (100, 100)) == pytest.approx([0, 0, 1, 2])
