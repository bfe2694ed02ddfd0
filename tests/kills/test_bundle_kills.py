"""Bundles and kills: at every system call, nothing is lost and the bundle opens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import update_bundle, write_bundle
from pplcnet.data.annotations import ClassLabel
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.exporting import calibrating, quantization, reference
from pplcnet.exporting.int8 import PostTraining
from pplcnet.imaging.preprocessing import Preprocessing
from tests.kills.harness import Point, describe, kill_everywhere, needs_tracing

pytestmark = [pytest.mark.slow, needs_tracing]

OLD = {"weights.npz": b"old weights " * 50, "model.onnx": b"old network " * 50}
NEW = {"weights.npz": b"new weights " * 60, "model.onnx": b"new network " * 60}


def _manifest(mark: str, **values: object) -> Manifest:
    facts: dict = {
        "classes": ("a", "b"),
        "preprocessing": Preprocessing(image_size=(8, 8)),
        "network": {"name": "pplcnet_x0_25", "options": {}},
        "variants": {"keras": {"file": "weights.npz"}, "onnx": {"file": "model.onnx"}},
        "provenance": {"mark": mark},
    }
    return Manifest(**(facts | values))


def _write_old(folder: Path) -> None:
    write_bundle(folder / "x.bundle", _manifest("old"), OLD)
    (folder / "x.bundle" / "notes.txt").write_text("mine")


def _contents(path: Path) -> dict[str, bytes]:
    bundle = Bundle.open(path)
    return {name: bundle.read(name) for name in bundle.manifest.files}


def _check_next_write(folder: Path) -> None:
    """The next writer works, and cleans up what the killed one left."""
    path = folder / "x.bundle"
    manifest = Bundle.open(path).manifest
    changed = update_bundle(Bundle.open(path), provenance={**manifest.provenance, "next": 1})
    changed.verify()
    left = sorted(each.name for each in path.iterdir())
    assert left == sorted([*changed.manifest.files, "manifest.json", "notes.txt"])
    assert (path / "notes.txt").read_text() == "mine"
    assert [each.name for each in folder.iterdir()] == ["x.bundle"]


def _old_or_new(old: dict[str, bytes], new: dict[str, bytes]) -> Callable[[Path, Point], None]:
    def check(folder: Path, point: Point) -> None:
        mark = Bundle.open(folder / "x.bundle").manifest.provenance["mark"]
        assert _contents(folder / "x.bundle") == {"old": old, "new": new}[mark]
        _check_next_write(folder)

    return check


def test_writing_over_an_old_bundle(tmp_path: Path) -> None:
    def act(folder: Path) -> None:
        write_bundle(folder / "x.bundle", _manifest("new"), NEW)

    hit = kill_everywhere(tmp_path / "place", _write_old, act, _old_or_new(OLD, NEW))
    print(describe(hit))
    assert len(hit) >= 40


def test_updating_a_bundle_with_a_new_file(tmp_path: Path) -> None:
    extra = {"model.int8.onnx": b"int8 " * 90}

    def act(folder: Path) -> None:
        update_bundle(
            Bundle.open(folder / "x.bundle"),
            files=extra,
            variants={"int8": {"file": "model.int8.onnx", "precision": "int8"}},
            provenance={"mark": "new"},
        )

    hit = kill_everywhere(tmp_path / "place", _write_old, act, _old_or_new(OLD, OLD | extra))
    assert len(hit) >= 25


def test_writing_the_first_bundle(tmp_path: Path) -> None:
    def act(folder: Path) -> None:
        write_bundle(folder / "x.bundle", _manifest("new"), NEW)

    def check(folder: Path, point: Point) -> None:
        if (folder / "x.bundle" / "manifest.json").exists():
            assert _contents(folder / "x.bundle") == NEW
        act(folder)
        assert _contents(folder / "x.bundle") == NEW
        assert len(list((folder / "x.bundle").iterdir())) == 3

    hit = kill_everywhere(tmp_path / "place", lambda folder: None, act, check)
    assert len(hit) >= 25


def test_replacing_the_network_drops_the_files_of_the_old_one(tmp_path: Path) -> None:
    only = {"weights.npz": NEW["weights.npz"]}

    def act(folder: Path) -> None:
        variants = {"keras": {"file": "weights.npz"}}
        write_bundle(folder / "x.bundle", _manifest("new", variants=variants), only)

    hit = kill_everywhere(tmp_path / "place", _write_old, act, _old_or_new(OLD, only))
    assert len(hit) >= 25


def test_packing_over_an_older_zip(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        write_bundle(folder / "x.bundle", _manifest("old"), OLD).pack(folder / "x.zip")
        write_bundle(folder / "x.bundle", _manifest("new"), NEW)

    def act(folder: Path) -> None:
        Bundle.open(folder / "x.bundle").pack(folder / "x.zip")

    def check(folder: Path, point: Point) -> None:
        assert _contents(folder / "x.zip") in (OLD, NEW)
        assert _contents(folder / "x.bundle") == NEW
        act(folder)
        assert _contents(folder / "x.zip") == NEW
        assert sorted(each.name for each in folder.iterdir()) == ["x.bundle", "x.zip"]

    hit = kill_everywhere(tmp_path / "place", prepare, act, check)
    assert len(hit) >= 20


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """quantize and calibrate without the networks: the numbers are made up, the writing is real."""
    import numpy as np

    photos = tuple(LabelledImage(Path("photo"), ClassLabel(at)) for at in (0, 1))
    images = Dataset(Path(), ("a", "b"), photos)

    class Engine:
        batch_size = None

        def run(self, images):
            return {"logits": np.eye(2, dtype=np.float32)[[0] * len(images)]}

    for module in (quantization, calibrating):
        monkeypatch.setattr(module, "open_engine", lambda *_, **__: Engine())
        monkeypatch.setattr(module, "match_validation", lambda *_: images)
    for module in (quantization, calibrating, reference):
        monkeypatch.setattr(module, "prepare", lambda _, paths: np.zeros((len(paths), 8, 8, 3)))
        monkeypatch.setattr(
            module, "run_in_parts", lambda engine, images, **_: [engine.run(images)]
        )
    int8 = PostTraining(b"int8 " * 70, np.zeros((1, 8, 8, 3), np.uint8), (), None)
    monkeypatch.setattr(quantization, "require_nncf", lambda: None)
    monkeypatch.setattr(quantization, "quantize_network", lambda *_: int8)
    monkeypatch.setattr(quantization, "open_int8", lambda _: Engine())
    monkeypatch.setattr(quantization, "cut_network", lambda content, outputs: content)


def _write_exported(folder: Path) -> None:
    variants = {
        "keras": {"file": "weights.npz"},
        "onnx": {"file": "model.onnx", "batch": 1},
    }
    write_bundle(folder / "x.bundle", _manifest("old", variants=variants), OLD)
    (folder / "x.bundle" / "notes.txt").write_text("mine")


def test_quantizing(tmp_path: Path, no_networks: None) -> None:
    def act(folder: Path) -> None:
        quantization.quantize(folder / "x.bundle", None, calibration=["photo"])

    def check(folder: Path, point: Point) -> None:
        int8 = {"model.int8.onnx": b"int8 " * 70}
        has_it = "int8" in Bundle.open(folder / "x.bundle").manifest.variants
        assert _contents(folder / "x.bundle") == (OLD | int8 if has_it else OLD)
        _check_next_write(folder)

    hit = kill_everywhere(tmp_path / "place", _write_exported, act, check)
    assert len(hit) >= 25


def test_calibrating(tmp_path: Path, no_networks: None) -> None:
    def act(folder: Path) -> None:
        calibrating.calibrate(folder / "x.bundle", None)

    def check(folder: Path, point: Point) -> None:
        assert _contents(folder / "x.bundle") == OLD
        _check_next_write(folder)

    hit = kill_everywhere(tmp_path / "place", _write_exported, act, check)
    assert len(hit) >= 15


def test_converting_over_an_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pplcnet.weights import conversion

    weights = SimpleNamespace(
        kind="native", network="pplcnet_x0_25", options=None, saved=None, beside=None, tensors={}
    )
    monkeypatch.setattr(conversion, "read_weights", lambda _: weights)
    options = {"num_classes": 2, "image_size": (8, 8)}
    monkeypatch.setattr(conversion, "_options_for", lambda *_: dict(options))
    built = SimpleNamespace(build=lambda *_: None)
    monkeypatch.setattr(conversion, "training_of", lambda _: built)
    monkeypatch.setattr(conversion, "fill", lambda *_, **__: None)
    monkeypatch.setattr(conversion, "pack_weights", lambda _: b"converted " * 70)

    def act(folder: Path) -> None:
        conversion.convert(
            tmp_path / "absent", folder / "x.bundle", classes=("one", "two"), overwrite=True
        )

    def check(folder: Path, point: Point) -> None:
        contents = _contents(folder / "x.bundle")
        if Bundle.open(folder / "x.bundle").classes[0] == "one":
            assert contents == {"weights.npz": b"converted " * 70}
        else:
            assert contents == OLD
        _check_next_write(folder)

    hit = kill_everywhere(tmp_path / "place", _write_old, act, check)
    assert len(hit) >= 25
