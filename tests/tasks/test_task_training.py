"""What every task provides for training fits together."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import TASKS, find, options_of, training_of
from tests.tasks.segmentation.masks import blobs, dataset_of

pytestmark = pytest.mark.usefixtures("shallow_networks")

NETWORKS = {"detection": "picodet_x0_25", "segmentation": "mobileseg_pplcnet_x0_25"}


def _dataset(task: str, photos: Path, folder: Path) -> Dataset:
    if task == "classification":
        return Dataset.open(photos)
    if task == "detection":
        rows = [f"{image.path},{'' if at == 0 else f'{at % 2},3,4,90,70'}"
                for at, image in enumerate(Dataset.open(photos).images)]  # fmt: skip
        rows[0] += ",,,,"
        table = folder / "boxes.csv"
        table.write_text("\n".join(["path,label,xmin,ymin,xmax,ymax", *rows]) + "\n")
        return Dataset.open(table)
    if task == "segmentation":
        return dataset_of(folder, [blobs(at) for at in range(6)])
    rows = [f"{image.path},{image.shown[0] % 2},{'' if at % 3 else 1}"
            for at, image in enumerate(Dataset.open(photos).images)]  # fmt: skip
    (folder / "labels.csv").write_text("\n".join(["path,odd,some", *rows]) + "\n")
    return Dataset.open(folder / "labels.csv")


@pytest.mark.parametrize("name", TASKS)
def test_network_targets_views_and_loss_go_together(
    name: str, common_photos: Path, tmp_path: Path
) -> None:
    dataset, task = _dataset(name, common_photos, tmp_path), find(name)
    training = training_of(task)
    recipe = Recipe(image_size=(32, 32), options=options_of(name)())
    assert dataset.task == name
    read = training.read_target or (lambda target, _: target)
    name = NETWORKS.get(name, "pplcnet_x0_25")
    network = training.build(name, dataset.classes, (32, 32), {"dropout": 0.0})
    outputs = task.outputs(dataset.classes, (32, 32), name)
    assert [tuple(each.shape[1:]) for each in network.outputs] == list(outputs.values())
    targets = training.targets(dataset)
    assert len(targets) == len(dataset)
    views = [
        training.view(
            np.full((40, 50, 3), 90, np.uint8), read(targets[at], (40, 50)), (32, 32), recipe,
            np.random.default_rng(at),
        )
        for at in range(4)
    ]  # fmt: skip
    assert {view.shape for view, _ in views} == {(32, 32, 3)}
    shape = training.target_shape(targets, (32, 32))
    assert {np.shape(target) for _, target in views} == {shape}
    objective = training.objective(recipe, dataset)
    model = objective.trained_model(network)
    # One step is computed sooner than its graph is traced.
    model.compile(
        "sgd",
        loss=objective.loss,
        metrics=list(objective.metrics),
        run_eagerly=keras.backend.backend() == "tensorflow",
    )
    images = np.stack([view for view, _ in views]).astype(np.float32)
    logs = model.train_on_batch(images, np.stack([target for _, target in views]), return_dict=True)
    assert np.isfinite(logs["loss"])
    assert set(logs) == {"loss", *(metric.name for metric in objective.metrics)}
    assert training.distillation(recipe, dataset, None) is None
