"""Train other libraries' networks with our recipe, photos, augmentation and optimiser.

    python benchmarks/rival_training.py PHOTOS --network keras-mobilenetv3-small-0.35 --out RUN
    KERAS_BACKEND=torch TIMM_PYTHON benchmarks/rival_training.py PHOTOS --network timm-lcnet_035 \
        --out RUN

The second needs an interpreter with PyTorch, timm and Keras, which trains timm's module as a layer.
Networks are as their libraries build them, without weights. As in `pplcnet train`, the validation
photos select the epoch, and the test photos play no part. A run cannot be resumed.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import find, training_of
from pplcnet.training.batches import EvaluationImages, TrainingBatches
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.optimizers import compile_model
from pplcnet.training.pictures import preprocessing_of

SIZE = 160
NETWORKS = ("keras-mobilenetv3-small-0.35", "timm-lcnet_035")


def build(name: str, classes: int) -> tuple[keras.Model, Any]:
    """The network (normalised NHWC images to logits), and timm's module if it is one."""
    if name.startswith("keras"):
        network = keras.applications.MobileNetV3Small(
            input_shape=(SIZE, SIZE, 3),
            alpha=0.35,
            weights=None,
            classes=classes,
            include_preprocessing=False,
            classifier_activation=None,
            dropout_rate=0.0,
        )
        return network, None
    import timm

    module = timm.create_model(name.removeprefix("timm-"), num_classes=classes, drop_rate=0.0)
    inputs = keras.Input((SIZE, SIZE, 3))
    layer = keras.layers.TorchModuleWrapper(module, output_shape=(None, classes))
    return keras.Model(inputs, layer(keras.ops.transpose(inputs, (0, 3, 1, 2)))), module


def top1(
    model: keras.Model, dataset: Dataset, images: EvaluationImages, preprocessing: Any
) -> tuple[float, float]:
    """Accuracy and mean cross-entropy."""
    logits = np.concatenate(
        [
            model.predict_on_batch(preprocessing.normalize(chunk[at : at + 64]))
            for chunk in images
            for at in range(0, len(chunk), 64)
        ]
    ).astype(np.float64)
    labels = np.asarray([image.shown[0] for image in dataset.images])
    shifted = logits - logits.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(logits)), labels]
    loss = (np.log(np.exp(shifted).sum(axis=1)) - own).mean()
    return float((logits.argmax(axis=1) == labels).mean()), float(loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--network", required=True, choices=NETWORKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    recipe = Recipe.named("scratch").changed(
        {"image_size": [SIZE, SIZE], "epochs": arguments.epochs, "seed": arguments.seed}
    )
    dataset = Dataset.open(arguments.photos)
    recipe = adapted(recipe, len(dataset.subset("train")))
    preprocessing = preprocessing_of(recipe)
    keras.utils.set_random_seed(recipe.seed)
    model, module = build(arguments.network, len(dataset.classes))
    image_cache = ImageCache.of(recipe)
    batches = TrainingBatches(
        dataset.subset("train"), recipe, preprocessing, image_cache=image_cache
    )
    objective = training_of(find(dataset.task)).objective(recipe, dataset.subset("train"))
    compile_model(model, recipe, batches.steps_per_epoch, objective)
    validation = EvaluationImages(
        dataset.subset("validation"), preprocessing, recipe.workers, image_cache
    )
    best, kept = (-1.0, 0.0), None
    for epoch in range(recipe.epochs):
        for images, targets in batches.epoch(epoch):
            model.train_on_batch(preprocessing.normalize(images), targets)
        accuracy, loss = top1(model, dataset.subset("validation"), validation, preprocessing)
        if (accuracy, -loss) > best:
            best = accuracy, -loss
            kept = copy.deepcopy(module.state_dict() if module else model.get_weights())
        print(f"epoch {epoch + 1}/{recipe.epochs} validation {accuracy:.3f}", file=sys.stderr)
    if module:
        module.load_state_dict(kept)
    else:
        model.set_weights(kept)
    test = EvaluationImages(dataset.subset("test"), preprocessing, recipe.workers)
    accuracy, _ = top1(model, dataset.subset("test"), test, preprocessing)
    facts = {"top1": accuracy, "validation_top1": best[0], "parameters": model.count_params()}
    out = arguments.out / "evaluation"
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{arguments.network}: test top-1 {accuracy:.4f}")


if __name__ == "__main__":
    main()
