"""Official detectors by their names: downloaded, resumed, checked, and run."""

from __future__ import annotations

import json
import pickle
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pplcnet.cli.main import main
from pplcnet.errors import WeightsError
from pplcnet.models.catalog import DETECTORS
from pplcnet.weights.fetching import fetch
from pplcnet.weights.sources import find_source, official_name, sources_of
from tests.weights.download_server import Handler

FOLDER = "reference/picodet/xs_320_coco"


@pytest.fixture
def content(shared: Path, server: ThreadingHTTPServer) -> bytes:
    """The published XS as PaddlePaddle saves a state dict, on a server that hangs up once."""
    with np.load(shared / FOLDER / "weights_bnfolded.npz") as tensors:
        content = pickle.dumps(dict(tensors), protocol=4)

    def behave(handler: Handler, turn: int) -> None:
        if turn > 1:
            handler.send_file(content)
            return
        handler.send_head(0, len(content))
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:1_000_000])
        handler.connection.close()

    server.behave = behave
    return content


def test_every_published_size_has_its_name_and_its_address() -> None:
    # https://github.com/PaddlePaddle/PaddleDetection, configs/picodet/README_en.md
    names = {
        f"{row.name}_{side}": (row.name, side)
        for row in DETECTORS.values()
        for side in row.reported_ap
    }
    assert len(names) == 9
    for name, (network, side) in names.items():
        source = find_source(*(official_name(name) or ("", "")))
        assert (source.network, source.side) == (network, side)
        assert source.address == (
            f"https://paddledet.bj.bcebos.com/models/{name}_coco_lcnet.pdparams"
        )


def test_a_size_that_was_not_published_names_those_that_were() -> None:
    with pytest.raises(WeightsError, match="picodet_xs has no 'coco-640' weights; there are coco"):
        find_source(*(official_name("picodet_xs_640") or ("", "")))
    assert "coco" not in sources_of("picodet_x1_0")


def test_a_detectors_weights_are_resumed_and_checked(
    content: bytes, server: ThreadingHTTPServer
) -> None:
    path = fetch(find_source("picodet_xs", "coco"), pause_s=0)
    assert path.read_bytes() == content
    assert [part for _, part in server.asked] == [None, "bytes=1000000-"]
    assert server.asked[0][0].endswith("/picodet_xs_320_coco_lcnet.pdparams")
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(WeightsError, match="is not the expected file"):
        fetch(find_source("picodet_xs", "coco"), pause_s=0)


def test_weights_of_another_detector_are_refused(
    content: bytes, server: ThreadingHTTPServer
) -> None:
    with pytest.raises(WeightsError, match=r"numbers, picodet_s has 1,186,492"):
        fetch(find_source("picodet_s", "coco-416"), pause_s=0)


@pytest.mark.slow
def test_predict_fetches_what_a_name_stands_for(
    content: bytes, shared: Path, capsys: pytest.CaptureFixture[str], server: ThreadingHTTPServer
) -> None:
    photo = str(shared / FOLDER / "photos/coffee.png")
    for _ in range(2):  # the second time from the cache
        assert main(["predict", "picodet_xs_320", photo, "--json"]) == 0
        table, cup = json.loads(capsys.readouterr().out)["predictions"]
        assert (table["label"], cup["label"]) == ("dining table", "cup")
        assert cup["confidence"] == pytest.approx(0.759, abs=1e-3)
        assert len(server.asked) == 2
