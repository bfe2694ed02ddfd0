"""What the audit decodes is what the first epoch needs, and the same as it would decode itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.imaging.orientation import EXIF_ORIENTATION
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import options_of
from pplcnet.tasks.audit import audit
from pplcnet.training import views as module
from pplcnet.training.batches import EvaluationImages, TrainingBatches
from pplcnet.training.image_cache import GIGABYTE, ImageCache
from pplcnet.training.pictures import (
    drop_unneeded,
    picture_keeper,
    preprocessing_of,
    side_of,
)
from tests.conftest import draw_scene

RECIPE = Recipe(image_size=(96, 96), batch_size=4).for_options(options_of("classification"))


@pytest.fixture
def mixed(tmp_path: Path) -> Dataset:
    """Large and small photos, JPEG and PNG, upright and not."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number, size in enumerate([(700, 600), (601, 640), (90, 70)]):
            exif = Image.Exif()
            exif[EXIF_ORIENTATION] = 6 if number else 1
            image = draw_scene(number + 5 * (label == "b"), size)
            image.save(tmp_path / label / f"{number}.jpg", exif=exif)
            image.save(tmp_path / label / f"{number}x.png", exif=exif, compress_level=1)
    return Dataset.open(tmp_path)


def _seen(dataset: Dataset, cache: ImageCache):
    batches = TrainingBatches(dataset, RECIPE, preprocessing_of(RECIPE), image_cache=cache)
    epoch = np.concatenate([batch.images for batch in batches.epoch(0)])
    images = EvaluationImages(dataset, preprocessing_of(RECIPE), 2, cache)
    return epoch, np.concatenate(list(images))


def test_the_first_epoch_decodes_nothing_and_sees_the_same(
    mixed: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ImageCache() as nothing:
        expected = _seen(mixed, nothing)
    with ImageCache(0.1) as cache:
        audit(mixed, handover=Handover(side_of(RECIPE), picture_keeper(RECIPE, cache)))
        preprocessing = preprocessing_of(RECIPE)
        whole = [image for image in mixed.images if (image.path, preprocessing) in cache._kept]
        monkeypatch.setattr(module, "keep_for_crops", None)  # a call would fail
        found = _seen(mixed, cache)
    assert len(whole) == len(mixed)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_no_epoch_asks_for_is_dropped_and_makes_room(mixed: Dataset) -> None:
    paths = [image.path for image in mixed.images]
    with ImageCache(0.1) as cache:
        audit(mixed, handover=Handover(side_of(RECIPE), picture_keeper(RECIPE, cache)))
        before = cache._bytes_left
        drop_unneeded(cache, paths[:4], paths[4:6])
        kept = {(path, type(use).__name__) for path, use in cache._kept}
        freed = cache._bytes_left - before
        assert cache._bytes_left == int(0.1 * GIGABYTE) - cache.kept_bytes
    assert kept == {
        *((path, "int") for path in paths[:4]),
        *((path, "Preprocessing") for path in paths[4:6]),
    }
    assert freed > 0


def test_a_full_cache_takes_no_more(mixed: Dataset) -> None:
    with ImageCache(100_000 / GIGABYTE) as cache:
        audit(mixed, handover=Handover(side_of(RECIPE), picture_keeper(RECIPE, cache)))
        assert 0 < cache.kept_bytes <= 100_000
