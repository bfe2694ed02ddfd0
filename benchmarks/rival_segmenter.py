"""Train torchvision's LR-ASPP with our recipe, photos, views, loss and optimiser.

    KERAS_BACKEND=torch TORCH_PYTHON benchmarks/rival_segmenter.py PHOTOS --out RUN

Needs an interpreter with PyTorch, torchvision and Keras, which trains torchvision's module as a
layer. The network is as torchvision builds it, MobileNetV3 large with dilations, without weights,
except for BatchNorm's momentum. As in `pplcnet train`, the validation photos select the epoch, and
the test photos play no part. The first epochs determine how many fit into the budget's minutes. A
run cannot be resumed.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import keras

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import recipe_by_start
from pplcnet.tasks import find, options_of, training_of
from pplcnet.tasks.segmentation.options import SegmentationOptions
from pplcnet.training.batches import EvaluationImages, TrainingBatches
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.optimizers import compile_model
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.validation import Score, Validation
from pplcnet.training.weight_averaging import averaged_weights

TIMED = 3
"""Number of timed epochs; the first one is not representative."""


def build(classes: int) -> tuple[keras.Model, Any]:
    """The network (normalised NHWC images to logits of their size), and torchvision's module.

    For any size: training crops are smaller than the evaluated photos.
    """
    import torch
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = lraspp_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=classes
            )

        def forward(self, images: Any) -> Any:
            return self.own(images.permute(0, 3, 1, 2))["out"].permute(0, 2, 3, 1)

    module = Network()
    for each in module.modules():
        if isinstance(each, torch.nn.BatchNorm2d):
            # Torchvision's 0.01 suits trainings with many more steps: after a few hundred, running
            # variances are still near 1, and the network predicts one class everywhere.
            each.momentum = 0.1
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.TorchModuleWrapper(module, output_shape=(None, None, None, classes))
    return keras.Model(inputs, layer(inputs)), module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="FIELD=VALUE of the recipe")
    arguments = parser.parse_args()
    dataset = Dataset.open(arguments.photos)
    parts = {name: dataset.subset(name) for name in ("train", "validation", "test")}
    values = dict(each.split("=", 1) for each in arguments.set)
    recipe = recipe_by_start(
        {
            **{name: json.loads(value) for name, value in values.items()},
            "weights": None,
            "seed": arguments.seed,
            # Its layers are not Keras'.
            "recalibrate_batchnorm": 0,
        },
        options_of(dataset.task),
    )
    started = time.perf_counter()
    if "epochs" not in values:
        timed = recipe.changed({"epochs": TIMED})
        times = [0.0, *fit(parts, timed)[1]]
        left = arguments.minutes * 60 - (time.perf_counter() - started)
        recipe = recipe.changed({"epochs": max(1, int(left / (times[-1] - times[-2])))})
        started = time.perf_counter()
    network, _ = fit(parts, recipe)
    miou = validation_of(network, parts["test"], recipe).score().value
    facts = {
        "miou": miou,
        "epochs": recipe.epochs,
        "minutes": round((time.perf_counter() - started) / 60, 2),
        "parameters": network.count_params(),
    }
    out = arguments.out / "evaluation"
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"torchvision LR-ASPP: test mIoU {miou:.4f}, {facts}")


def fit(parts: dict[str, Dataset], recipe: Recipe) -> tuple[keras.Model, list[float]]:
    """The network with the weights of its best epoch, and the seconds after each epoch."""
    train_set = parts["train"]
    recipe = adapted(recipe, len(train_set))
    preprocessing = preprocessing_of(recipe)
    keras.utils.set_random_seed(recipe.seed)
    network, module = build(len(train_set.classes))
    # The loss takes a list of heads, at the pixels that it counts.
    step = recipe.options_as(SegmentationOptions).pixel_step
    counted = slice(step // 2, None, step)
    heads = keras.layers.Lambda(lambda logits: logits[:, None, counted, counted])(network.output)
    model = keras.Model(network.input, heads)
    batches = TrainingBatches(train_set, recipe, preprocessing, image_cache=ImageCache.of(recipe))
    objective = training_of(find(train_set.task)).objective(recipe, train_set)
    compile_model(model, recipe, batches.steps_per_epoch, objective)
    validation = validation_of(network, parts["validation"], recipe)
    best, kept = Score(-1.0, 0.0), None
    started, times = time.perf_counter(), []
    for epoch in range(recipe.epochs):
        for images, targets in batches.epoch(epoch):
            model.train_on_batch(preprocessing.normalize(images), targets)
        with averaged_weights(model, recipe):
            score = validation.score()
            if score.is_better_than(best):
                best, kept = score, copy.deepcopy(module.state_dict())
        times.append(time.perf_counter() - started)
        print(
            f"epoch {epoch + 1}/{recipe.epochs} validation {score.value:.3f}, {times[-1]:.0f} s",
            flush=True,
        )
    module.load_state_dict(kept)
    return network, times


def validation_of(network: keras.Model, dataset: Dataset, recipe: Recipe) -> Validation:
    preprocessing = preprocessing_of(recipe)
    manifest = Manifest(dataset.classes, preprocessing, {}, task=dataset.task)
    judge = find(dataset.task).judge(manifest, dataset.images)
    images = EvaluationImages(dataset, preprocessing, recipe.workers)
    return Validation(network, images, judge, ["logits"], preprocessing)


if __name__ == "__main__":
    main()
