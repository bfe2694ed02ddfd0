"""What 'pplcnet export' says of files that belong to the previous network."""

from __future__ import annotations

import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.cli.export import report_dropped
from pplcnet.imaging.preprocessing import Preprocessing


def test_only_what_is_gone_is_advised(capsys: pytest.CaptureFixture[str]) -> None:
    files = {"onnx": "model.onnx", "litert": "model.tflite"}

    def manifest(*variants: str) -> Manifest:
        return Manifest(
            classes=("a", "b"),
            preprocessing=Preprocessing(image_size=(8, 8)),
            network={"name": "pplcnet_x0_25"},
            variants={name: {"file": files[name]} for name in variants},
        )

    report_dropped(manifest("onnx", "litert"), manifest("onnx"), "made from the previous network")
    assert capsys.readouterr().out == (
        "removed     model.tflite, which was made from the previous network; 'pplcnet export --to "
        "tflite' makes it again\n"
    )
    report_dropped(manifest("onnx"), manifest("onnx"), "made from the previous network")
    assert capsys.readouterr().out == ""
