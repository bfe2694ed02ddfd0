"""The search for a way of quantising: what is tried, in which order, and when nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import ConversionError
from pplcnet.exporting import int8_search
from pplcnet.exporting.int8_search import quantize_fastest
from pplcnet.exporting.int8_trial import Trial
from pplcnet.exporting.quantization import quantize
from pplcnet.exporting.timing import Latency

pytest.importorskip("nncf", reason="INT8 needs the quantize extra")
pytestmark = pytest.mark.usefixtures("quantized_once")

FLOAT = Trial("", "float32", 2.0, 500.0)
BFLOAT = Trial("", "bfloat16", 1.0, 1000.0)
LATE = Trial("from stride 16", "int8-bfloat16", 0.9, 1100.0)
ALL = Trial("all layers", "int8", 0.95, 1100.0)
SLOW = Trial("all layers", "int8", 1.5, 900.0)
UNLOADED = Trial("pointwise layers", "int8-bfloat16", verdict="no kernels")

LATENCIES = {"float": Latency(1.0, 1.0), "int8": Latency(0.9, 0.9)}


@pytest.fixture
def photos(turned: Dataset) -> list[Path]:
    return [image.path for image in turned.images]


def _times(monkeypatch: pytest.MonkeyPatch, *trials: Trial) -> None:
    ranked = sorted(trials, key=lambda trial: trial.cost)
    monkeypatch.setattr(int8_search, "time_ways", lambda *_: list(ranked))
    monkeypatch.setattr(int8_search, "measure_latencies", lambda runs, **_: LATENCIES)


def test_nothing_is_made_where_bfloat16_is_fastest(
    bundle: Path, turned: Dataset, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, FLOAT, BFLOAT, SLOW, UNLOADED)
    before = (bundle / "manifest.json").read_bytes()
    lines: list[str] = []
    search = quantize_fastest(bundle, turned, calibration=photos, report=lines.append)
    assert not search.is_made
    assert search.verdict.startswith("bfloat16 (1.00 ms) is the fastest on this processor")
    assert search.verdict in lines
    assert (bundle / "manifest.json").read_bytes() == before


def test_the_fastest_way_is_made_and_named(
    bundle: Path, turned: Dataset, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, FLOAT, BFLOAT, ALL, LATE._replace(precision="int8"), UNLOADED)
    search = quantize_fastest(bundle, turned, calibration=photos, max_drop=1.0)
    assert search.is_made
    assert search.trials[0].way == "from stride 16"
    assert search.trials[0].verdict == "chosen"
    assert search.trials[0].accuracy is not None
    assert [trial.verdict for trial in search.trials].count("chosen") == 1
    assert Bundle.open(bundle).variant("int8")["layers"] == "from stride 16"


def test_the_next_way_is_tried_where_the_fastest_loses_too_much(
    bundle: Path, turned: Dataset, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, bool]] = []

    def lossy(*given, way, with_control, precision, **options):
        tried.append((way.name, with_control))
        if way.name == "from stride 16":
            raise ConversionError("INT8 loses 0.5")
        return quantize(*given, way=way, with_control=False, **options)

    monkeypatch.setattr(int8_search, "quantize", lossy)
    _times(monkeypatch, FLOAT, BFLOAT, ALL, LATE)
    search = quantize_fastest(bundle, turned, calibration=photos, max_drop=1.0)
    assert tried == [("from stride 16", False), ("all layers", True)]
    assert search.trials[0].verdict == "loses too much accuracy"
    assert Bundle.open(bundle).variant("int8")["layers"] == "all layers"


def test_a_slower_network_is_made_when_asked_for(
    bundle: Path, turned: Dataset, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, FLOAT, BFLOAT, SLOW)
    search = quantize_fastest(bundle, turned, calibration=photos, max_drop=1.0, keep_slower=True)
    assert search.is_made
    assert "int8" in search.bundle.manifest.variants


def test_no_way_is_begun_after_the_time_that_was_given(
    bundle: Path, turned: Dataset, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, FLOAT, LATE)
    with pytest.raises(ConversionError, match="--minutes 0 ran out"):
        quantize_fastest(bundle, turned, calibration=photos, minutes=0.0)


def test_accuracy_control_ends_with_the_time_that_was_given(
    bundle: Path, turned: Dataset, tmp_path: Path
) -> None:
    # Ranges of black images cut off everything that photos have.
    black = tmp_path / "black.png"
    Image.new("RGB", (40, 40)).save(black)
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(ConversionError, match="--minutes gives more time"):
        quantize(bundle, turned, calibration=[black], max_drop=0.0, deadline=0.0)
    assert (bundle / "manifest.json").read_bytes() == before


def test_a_network_that_ends_up_slower_is_not_added(
    bundle: Path, turned: Dataset, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, FLOAT, BFLOAT, ALL)
    slower = {**LATENCIES, "int8": Latency(0.99, 0.99)}
    monkeypatch.setattr(int8_search, "measure_latencies", lambda runs, **_: slower)
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(ConversionError, match=r"INT8 takes 0\.99 ms, bfloat16 1\.00 ms"):
        quantize_fastest(bundle, turned, calibration=photos, max_drop=1.0)
    assert (bundle / "manifest.json").read_bytes() == before
