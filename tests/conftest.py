"""Fixtures that several parts of the tests share: small real pictures, and a small real bundle."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import shallow

# Before any test imports Keras: TensorFlow's start-up notes are of no use in a test log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Ray's workers are nice to others, and would wait for whatever runs beside the tests.
os.environ.setdefault("RAY_worker_niceness", "0")
# No test asks a server for weights, but those that start one of their own.
os.environ["PPLCNET_OFFLINE"] = "1"

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_finish() -> None:
    """What importing the frameworks has made stays: the garbage collector need not look at it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that train first: a long file at the end would keep one process busy and the other not.

    The order within a file stays.
    """
    items.sort(key=lambda item: "shallow_networks" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the developer has downloaded must not change what a test starts from."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PPLCNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _short_timing() -> Iterator[None]:
    """How fast anything is, is not tested: engines are timed for a moment."""
    from pplcnet.exporting import timing

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(timing, "SETTLE_S", 0.0)
        patched.setitem(timing.measure_latencies.__kwdefaults__, "burst_s", 0.005)
        patched.setitem(timing.measure_rates.__kwdefaults__, "burst_s", 0.02)
        yield


@pytest.fixture(autouse=True)
def _same_cores():
    """An engine that leaves this thread on one core would slow down all that comes after it."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    yield
    assert os.sched_getaffinity(0) == before


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference outputs and real photos beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("../shared (reference outputs and photos) does not exist here")
    return SHARED


def draw_image(label: int, number: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A small picture (width, height) whose class can be seen: colour and stripes, with noise."""
    generator = np.random.default_rng((label, number))
    width, height = size
    rows = np.arange(height)[:, None]
    columns = np.arange(width)[None, :]
    wave = np.sin((rows if label % 2 else columns) * (0.3 + 0.25 * label) + generator.uniform(0, 6))
    pixels = np.full((height, width, 3), 60.0)
    pixels[:, :, label % 3] += 80 + 60 * wave
    pixels += generator.normal(0, 12, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw_scene(number: int, size: tuple[int, int] = (180, 140)) -> Image.Image:
    """Smooth light and dark in patches, as photos have it; every number another one."""
    coarse = np.random.default_rng(number).integers(0, 255, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_photos(folder: Path, classes: int = 3, each: int = 12) -> Path:
    """A folder of class folders: class_0, class_1, ... with `each` PNG files."""
    for label in range(classes):
        target = folder / f"class_{label}"
        target.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            draw_image(label, number).save(target / f"{number:03d}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of twelve small PNG files, fresh for the test."""
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
def common_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos, shared by all tests: not to be changed."""
    return write_photos(tmp_path_factory.mktemp("common") / "photos")


@pytest.fixture(scope="session")
def common_bundle(tmp_path_factory: pytest.TempPathFactory, common_photos: Path) -> Path:
    """An exported bundle of pplcnet_x0_25 at 32 pixels with random weights: not to be changed."""
    import keras

    from pplcnet.bundle.manifest import Manifest
    from pplcnet.bundle.writing import write_bundle
    from pplcnet.data.image_files import find_images
    from pplcnet.exporting.export import export
    from pplcnet.imaging.preprocessing import Preprocessing
    from pplcnet.models.build import build_model
    from pplcnet.weights.bundled import KERAS_FILE, pack_weights

    keras.utils.set_random_seed(7)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    manifest = Manifest(
        classes=("class_0", "class_1", "class_2"),
        preprocessing=Preprocessing(image_size=(32, 32)),
        network={"name": "pplcnet_x0_25", "options": {"dropout": 0.2}},
        variants={"keras": {"file": KERAS_FILE}},
        provenance={"dataset": {"photos": str(common_photos)}},
    )
    path = tmp_path_factory.mktemp("bundle") / "tiny.bundle"
    bundle = write_bundle(path, manifest, {KERAS_FILE: pack_weights(model)})
    return export(bundle, list(find_images(common_photos))).path


@pytest.fixture(scope="module")
def shallow_networks(
    tmp_path_factory: pytest.TempPathFactory, common_bundle: Path
) -> Iterator[None]:
    """PP-LCNet and MobileNetV1 with few blocks, for a module: see `tests/shallow.py`.

    The common bundle, which others use too, is made of the whole network before.
    """
    with shallow.shallow_networks(tmp_path_factory.mktemp("backbones")):
        yield


@pytest.fixture
def shipped_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backbone of pplcnet_x0_25 with random values, as the only one that ships."""
    from pplcnet.models.build import build_model
    from pplcnet.weights import backbones
    from pplcnet.weights.native import get_values

    monkeypatch.setattr(backbones, "FOLDER", tmp_path / "backbones")
    values = get_values(build_model("pplcnet_x0_25", num_classes=3, image_size=32))
    path = tmp_path / "backbones" / "pplcnet_x0_25.npz"
    path.parent.mkdir()
    backbones.write_backbone(path, "pplcnet_x0_25", values, made_with={"seed": 0})
    return path
