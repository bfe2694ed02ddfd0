"""Processes that show images: the same views, and none of them outlives its training."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import ImageError, PPLCNetError, RecipeError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.training import view_workers
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.view_process import ViewProcess

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="worker_processes needs Linux"
)
SMALL = {"image_size": [24, 32], "batch_size": 8, "workers": 2}


def _batches(photos: Path, cache: ImageCache | None = None, **fields: object) -> TrainingBatches:
    recipe = Recipe().changed(SMALL | fields)
    preprocessing = Preprocessing(image_size=(24, 32))
    return TrainingBatches(Dataset.open(photos), recipe, preprocessing, image_cache=cache)


def _processes(batches: TrainingBatches) -> list[ViewProcess]:
    workers = batches._workers
    assert isinstance(workers, view_workers.Processes)
    return workers._processes


def test_processes_show_what_threads_show(common_photos: Path) -> None:
    fields = {
        "mixup": 0.2, "random_erasing": 0.5, "balanced_sampling": True, "image_size": [48, 64],
        "progressive_resizing": 0.5, "epochs": 4,
    }  # fmt: skip
    by_threads = _batches(common_photos, **fields)
    by_processes = _batches(common_photos, worker_processes=True, **fields)
    for epoch, first_step in ((0, 0), (3, 1)):
        expected = list(by_threads.epoch(epoch, first_step))
        found = list(by_processes.epoch(epoch, first_step))
        assert len(found) == len(expected) > 0
        for one, two in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one.images, two.images)
            np.testing.assert_array_equal(one.targets, two.targets)


def test_an_epoch_that_is_left_early_does_not_disturb_the_next(common_photos: Path) -> None:
    batches = _batches(common_photos, worker_processes=True)
    next(batches.epoch(0))
    expected = next(_batches(common_photos).epoch(1))
    np.testing.assert_array_equal(next(batches.epoch(1)).images, expected.images)


def test_a_broken_image_is_named(photos: Path) -> None:
    (photos / "class_0" / "004.png").write_bytes(b"broken")
    with pytest.raises(ImageError, match=r"004\.png"):
        list(_batches(photos, worker_processes=True).epoch(0))


def test_a_process_that_is_killed_ends_the_training_with_a_sentence(common_photos: Path) -> None:
    batches = _batches(common_photos, worker_processes=True)
    next(batches.epoch(0))
    os.kill(_processes(batches)[0]._process.pid, signal.SIGKILL)
    with pytest.raises(PPLCNetError, match="was killed, perhaps for lack of memory"):
        list(batches.epoch(1))


def test_processes_end_with_their_batches(common_photos: Path) -> None:
    batches = _batches(common_photos, worker_processes=True)
    next(batches.epoch(0))
    processes = [each._process for each in _processes(batches)]
    assert [each.poll() for each in processes] == [None, None]
    del batches
    gc.collect()
    assert [each.poll() for each in processes] == [0, 0]


def test_a_process_ends_when_the_one_that_asks_is_killed(common_photos: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from pplcnet.training.view_process import ViewProcess
print(ViewProcess(([], None, None, 8), 4096)._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    status = Path("/proc") / killed.stdout.strip() / "stat"
    for _ in range(500):
        # A process whose parent died may stay as an entry without memory ("Z").
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("the process is still there")


def test_pictures_are_not_kept_twice(common_photos: Path) -> None:
    cache = ImageCache(1.0)
    list(_batches(common_photos, cache).epoch(0))
    assert cache.kept_bytes > 0
    _batches(common_photos, cache, worker_processes=True)
    assert cache.kept_bytes == 0


def test_a_process_imports_no_framework() -> None:
    code = (
        "import sys; import pplcnet.tasks.views, pplcnet.training.view_process; "
        "sys.exit('keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("given", "gpu", "cores", "expected"),
    [
        (None, True, 4, view_workers.Processes),
        (None, True, 2, view_workers.Threads),
        (None, False, 16, view_workers.Threads),
        (False, True, 16, view_workers.Threads),
        (True, False, 1, view_workers.Processes),
    ],
)
def test_processes_feed_a_gpu_beside_several_cores_unless_the_recipe_decides(
    common_photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: bool | None,
    gpu: bool,
    cores: int,
    expected: type,
) -> None:
    monkeypatch.setattr(view_workers, "has_gpu", lambda: gpu)
    batches = _batches(common_photos, worker_processes=given, workers=cores)
    assert isinstance(batches._workers, expected)


def test_without_memfd_a_gpu_is_fed_by_threads(
    common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(view_workers, "has_gpu", lambda: True)
    assert isinstance(_batches(common_photos, workers=8)._workers, view_workers.Threads)


def test_without_memfd_the_recipe_is_refused(
    common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(RecipeError, match="worker_processes needs Linux"):
        _batches(common_photos, worker_processes=True)
