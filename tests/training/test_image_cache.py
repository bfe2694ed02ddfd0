"""Decoded pictures are the same from memory, from disk and made anew, and leave nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.batches import EvaluationImages, TrainingBatches
from pplcnet.training.image_cache import GIGABYTE, ImageCache

SHAPE = (20, 30, 3)
BYTES = 20 * 30 * 3


class Pictures:
    """Makes a picture of a number, and counts how often."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, number: int) -> NDArray[np.uint8]:
        self.made.append(number)
        return np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PPLCNET_CACHE", str(folder))
    return folder


def _look(cache: ImageCache, make: Pictures, numbers: range) -> None:
    for number in numbers:
        found = cache.get(number, lambda number=number: make(number))
        np.testing.assert_array_equal(found, Pictures()(number))


@pytest.mark.parametrize(
    ("memory", "disk", "made_again"), [(10, 0, 0), (0, 10, 0), (3, 5, 2), (0, 0, 10), (4, 0, 6)]
)
def test_what_has_room_is_made_once(memory: int, disk: int, made_again: int) -> None:
    make = Pictures()
    with ImageCache(memory * BYTES / GIGABYTE, disk * BYTES / GIGABYTE) as cache:
        _look(cache, make, range(10))
        assert make.made == list(range(10))
        _look(cache, make, range(10))
    assert make.made[10:] == list(range(10 - made_again, 10))


def test_threads_share_what_lies_on_disk() -> None:
    make = Pictures()
    with ImageCache(0, 0.001) as cache, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: _look(cache, make, range(40)), range(16)))
    assert set(make.made) == set(range(40))


def test_nothing_is_left_on_disk(cache_folder: Path) -> None:
    with ImageCache(0, 0.001) as cache:
        _look(cache, Pictures(), range(3))
    assert list(cache_folder.iterdir()) == []


class FullDisk:
    """A file that takes `room` bytes more, as a disk on which others write too."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file, self.room = file, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: memoryview) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        return self.file.write(content.cast("B")[: self.room])


@pytest.mark.parametrize("room", [0, 100])
def test_a_disk_that_fills_up_costs_speed_and_nothing_else(room: int) -> None:
    make = Pictures()
    with ImageCache(0, 0.001) as cache:
        _look(cache, make, range(3))
        assert cache._file is not None
        cache._file = FullDisk(cache._file, room)  # type: ignore[assignment]
        _look(cache, make, range(6))
        _look(cache, make, range(6))
    assert make.made == [0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_more_disk_than_there_is_is_refused_in_a_sentence(cache_folder: Path) -> None:
    with pytest.raises(InputError, match=r"disk_cache_gigabytes is 1e\+09, but .* GB free"):
        ImageCache(0, 1e9)


def test_training_sees_the_same_from_disk_as_from_memory(common_photos: Path) -> None:
    dataset, preprocessing = Dataset.open(common_photos), Preprocessing(image_size=(24, 32))
    epochs = {}
    for memory, disk in ((1.0, 0.0), (0.0, 0.1)):
        recipe = Recipe(
            image_size=(24, 32), cache_gigabytes=memory, disk_cache_gigabytes=disk, batch_size=8
        )
        with ImageCache.of(recipe) as cache:
            batches = TrainingBatches(dataset, recipe, preprocessing, image_cache=cache)
            seen = [each.images for epoch in (0, 1) for each in batches.epoch(epoch)]
            images = EvaluationImages(dataset, preprocessing, 2, cache)
            seen += [*images, *images]
        epochs[disk] = seen
    for one, two in zip(*epochs.values(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_two_trainings_that_share_pictures_decode_them_once(
    common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pplcnet.training import views as module

    decoded: list[Path] = []
    keep = module.keep_for_crops

    def counted(path: Path, side: int) -> object:
        decoded.append(path)
        return keep(path, side)

    monkeypatch.setattr(module, "keep_for_crops", counted)
    dataset, recipe = Dataset.open(common_photos), Recipe(image_size=(24, 32), batch_size=9)
    with ImageCache.of(recipe) as cache:
        for _ in range(2):
            batches = TrainingBatches(
                dataset, recipe, Preprocessing(image_size=(24, 32)), image_cache=cache
            )
            list(batches.epoch(0))
    assert sorted(decoded) == sorted(image.path for image in dataset.images)
