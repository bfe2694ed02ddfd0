"""The demo: the main job on digits, as `make demo` runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.cli.main import main


@pytest.mark.slow
def test_the_demo_reads_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for part in ("classified", "latency", "bundle", "report", "pplcnet train PHOTOS"):
        assert part in out
    figures = json.loads((tmp_path / "run/evaluation/evaluation.json").read_text())
    assert figures["top1"] >= 0.97
    assert len(list((tmp_path / "photos").rglob("*.png"))) == 1797
