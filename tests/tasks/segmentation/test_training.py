"""Training of a segmenter: batches of photos with their masks, and a loss on every head."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.masks import IGNORED
from pplcnet.models.resizing import resize
from pplcnet.models.variables import value_of
from pplcnet.recipe.adapting import steps_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.segmentation.head import build_segmenter
from pplcnet.tasks.segmentation.losses import SegmentationLoss
from pplcnet.tasks.segmentation.options import SegmentationOptions
from pplcnet.tasks.segmentation.training import TRAINING, trained_model
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.pictures import preprocessing_of
from tests.tasks.segmentation.masks import CLASSES, blobs, dataset_of

pytestmark = pytest.mark.usefixtures("shallow_networks")

SIZE = (64, 96)


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("masks")
    return dataset_of(folder, [blobs(at, (48, 72)) for at in range(12)])


@pytest.mark.parametrize(
    ("name", "heads"),
    [("mobileseg_pplcnet_x0_25", 3), ("deeplabv3p_pplcnet_x0_25", 1), ("lraspp_pplcnet_x0_25", 1)],
)
def test_a_network_is_trained_on_all_pixels_by_all_its_heads(name: str, heads: int) -> None:
    network = build_segmenter(name, classes=3, image_size=SIZE)
    model = trained_model(network)
    images = np.random.default_rng(0).standard_normal((2, *SIZE, 3)).astype(np.float32)
    found = keras.ops.convert_to_numpy(model(images))
    assert found.shape == (2, heads, *SIZE, 3)
    assert model.output_shape == (None, heads, *SIZE, 3)
    own = keras.ops.convert_to_numpy(resize(network(images), SIZE))
    np.testing.assert_allclose(found[:, 0], own, atol=1e-4)
    assert trained_model(network, training_heads=False).output_shape == (None, 1, *SIZE, 3)
    sampled = trained_model(network, step=5)
    some = keras.ops.convert_to_numpy(sampled(images))
    assert some.shape[1:] == sampled.output_shape[1:]
    np.testing.assert_allclose(some[:, 0], own[:, 2::5, 2::5], atol=1e-4)


def test_a_step_trains_the_network_and_the_heads_that_are_not_kept() -> None:
    network = build_segmenter("mobileseg_pplcnet_x0_25", classes=3, image_size=SIZE)
    model = trained_model(network)
    kept = {id(each) for each in network.trainable_variables}
    others = [each for each in model.trainable_variables if id(each) not in kept]
    assert others
    before = [value_of(each) for each in model.trainable_variables]
    model.compile(keras.optimizers.SGD(0.1), loss=SegmentationLoss(), run_eagerly=True)
    generator = np.random.default_rng(0)
    images = generator.standard_normal((4, *SIZE, 3)).astype(np.float32)
    classes = generator.integers(0, 3, (4, *SIZE)).astype(np.float32)
    classes[:, :5] = IGNORED
    assert np.isfinite(model.train_on_batch(images, classes))
    changed = [
        not np.array_equal(old, value_of(each))
        for old, each in zip(before, model.trainable_variables, strict=True)
    ]
    # Biases in front of BatchNorm have no gradient but rounding.
    assert np.mean(changed) > 0.9
    assert all(value_of(each).any() for each in others if each.path.endswith("kernel"))


def test_crops_may_be_smaller_than_what_is_evaluated() -> None:
    network = build_segmenter("mobileseg_pplcnet_x0_25", classes=3, image_size=None)
    images = np.random.default_rng(0).standard_normal((2, *SIZE, 3)).astype(np.float32)
    found = trained_model(network, step=4).predict_on_batch(images)
    assert found.shape == (2, 3, SIZE[0] // 4, SIZE[1] // 4, 3)
    own = keras.ops.convert_to_numpy(resize(network(images), SIZE))
    np.testing.assert_allclose(found[:, 0], own[:, 2::4, 2::4], atol=1e-4)


def test_an_epoch_of_several_passes_shows_every_photo_so_often_in_other_views(
    masks: Dataset,
) -> None:
    fields = {"image_size": (32, 32), "batch_size": 8, "passes": 3, "resize": "stretch"}
    recipe = Recipe(options=SegmentationOptions()).changed(fields)
    batches = TrainingBatches(masks, recipe, preprocessing_of(recipe))
    assert batches.steps_per_epoch == steps_of(recipe.changed({"epochs": 1}), len(masks)) == 4
    shown = list(batches.epoch(0))
    assert len(np.unique(np.concatenate([each.images for each in shown]), axis=0)) == 32
    members = batches._order(np.random.default_rng((recipe.seed, 0)))
    assert sorted(members) == sorted([*range(len(masks))] * 3)
    for one, other in zip(batches.epoch(0, first_step=2), shown[2:], strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.targets, other.targets)


@pytest.mark.parametrize(
    "fields", [{"pixel_loss": "ohem"}, {"class_weights": "balanced", "lovasz": 0.2, "dice": 0.1}]
)
def test_the_recipe_says_which_loss(masks: Dataset, fields: dict[str, object]) -> None:
    recipe = Recipe(options=SegmentationOptions()).changed(fields)
    loss = TRAINING.objective(recipe, masks).loss
    assert isinstance(loss, SegmentationLoss)
    assert loss.pixel_loss == fields.get("pixel_loss", "cross-entropy")
    assert (loss.lovasz_part, loss.dice_part) == (fields.get("lovasz", 0), fields.get("dice", 0))
    weights = loss.class_weights
    assert weights is None if "class_weights" not in fields else len(weights) == len(CLASSES)
