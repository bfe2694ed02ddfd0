"""Measure how well networks learn from few photos: test top-1 by data set, photos and seed.

    python benchmarks/small_data.py --data ../shared/data --sets SETS --out RESULTS.jsonl
    python benchmarks/small_data.py --data ../shared/data --sets SETS --out RESULTS.jsonl \
        --recipes before default --networks pplcnet_x0_25 plain --photos 50 --batches 8 64 256
    python benchmarks/small_data.py --data ../shared/data --sets SETS --out RESULTS.jsonl \
        --networks pplcnet_x0_25 pplcnet_x1_0 --photos 50 --epochs 10 --weights none fractal

Every row is one training with the project's own `fit`: 96 pixels, the best epoch on the validation
photos, its weights tested on the test photos. Rows already in RESULTS.jsonl are not repeated, so
the command can be stopped and restarted at any time. All trainings share one process, which saves
start-up time. Prints mean, minimum and maximum of each group.

`before` is the recipe that was the default up to version 0.2; `plain` is a network of four 3x3
convolutions with Adam, for comparison. `--table` writes the means from which `pplcnet train` takes
its estimate.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np
from machine import describe_machine
from small_data_sets import CHECKING, CHOOSING, MAKERS, draw_of

from pplcnet.data.dataset import Dataset
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.batches import EvaluationImages, TrainingBatches
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.loop import fit
from pplcnet.training.pictures import preprocessing_of

SIZE = 96
BEFORE = {
    "optimizer": "sgd",
    "learning_rate": 3.2,
    "warmup_epochs": 1.0,
    "batch_size": 16,
    "gradient_clip": 0.0,
    "recalibrate_batchnorm": 0,
    "batchnorm_scale": 1.0,
}
NAMED = ("finetune",)
RECIPES: dict[str, dict[str, Any]] = {"default": {}, "before": BEFORE, **{n: {} for n in NAMED}}
PLAIN = "plain"
PLAIN_RATE = 1e-3
KEY = ("recipe", "network", "data", "photos", "seed", "epochs", "batch", "weights", "settings")


def rows_of(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what to train, one row each."""
    for seed, data, photos, recipe, network, batch, weights in product(
        arguments.seeds,
        arguments.data_sets,
        arguments.photos,
        arguments.recipes,
        arguments.networks,
        arguments.batches or [None],
        arguments.weights,
    ):
        if network == PLAIN and weights != "none":
            continue
        yield {
            "recipe": recipe,
            "network": network,
            "data": data,
            "photos": photos,
            "seed": seed,
            "epochs": arguments.epochs,
            "batch": batch,
            "weights": weights,
            "settings": sorted(arguments.settings),
        }


def recipe_of(row: Mapping[str, Any]) -> Recipe:
    """The recipe of a row; digits are neither mirrored nor cropped closely."""
    from pplcnet.recipe.settings import parse_setting

    fields: dict[str, Any] = {"workers": 1, **RECIPES[row["recipe"]]}
    if row["data"] == "digits":
        fields |= {"horizontal_flip": False, "crop_scale": (0.7, 1.0), "crop_fraction": 1.0}
    if row["batch"] is not None:
        fields["batch_size"] = row["batch"]
    fields |= dict(parse_setting(each) for each in row["settings"])
    base = Recipe.named(row["recipe"]) if row["recipe"] in NAMED else Recipe()
    if row["network"] != PLAIN:
        fields["model"] = row["network"]
    weights = None if row["weights"] == "none" else row["weights"]
    return base.changed(
        {
            "weights": weights,
            "image_size": SIZE,
            "epochs": row["epochs"],
            "seed": row["seed"],
            **fields,
        }
    )


def measure(row: Mapping[str, Any], folder: Path, cache: ImageCache) -> dict[str, Any]:
    """Train a row; returns the results."""
    dataset, recipe = Dataset.open(folder), recipe_of(row)
    training, validation = dataset.subset("train"), dataset.subset("validation")
    started = time.process_time()
    if row["network"] == PLAIN:
        model, facts = fit_plain(training, validation, recipe, cache)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            fitted = fit(
                training,
                validation,
                recipe,
                Path(scratch),
                image_cache=cache,
            )
        model = fitted.model
        last, first = fitted.history[-1], fitted.history[0]
        facts = {
            "best_epoch": fitted.best_epoch,
            "validation": last["validation_top1"],
            "first_validation_loss": first["validation_loss"],
            "loss": last["loss"],
        }
    top1 = accuracy(model, dataset.subset("test"), recipe, cache)
    keras.backend.clear_session()
    seconds = round(time.process_time() - started, 1)
    return {**row, "top1": round(top1, 4), "cpu_seconds": seconds, **facts}


def fit_plain(
    training: Dataset, validation: Dataset, recipe: Recipe, cache: ImageCache
) -> tuple[keras.Model, dict[str, Any]]:
    """Train four 3x3 convolutions with pooling by Adam on the recipe's views; 99,000 weights."""
    keras.utils.set_random_seed(recipe.seed)
    layers = keras.layers
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3))])
    for channels in (32, 64, 64, 64):
        model.add(layers.Conv2D(channels, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(len(training.classes)))
    model.compile(
        keras.optimizers.Adam(PLAIN_RATE),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    preprocessing = preprocessing_of(recipe)
    batch = recipe.batch_size or 16
    batches = TrainingBatches(
        training, recipe.changed({"batch_size": batch}), preprocessing, image_cache=cache
    )
    best, kept, epoch_of_best = -1.0, model.get_weights(), 0
    for epoch in range(recipe.epochs):
        for images, targets in batches.epoch(epoch):
            model.train_on_batch(preprocessing.normalize(images), targets)
        found = accuracy(model, validation, recipe, cache)
        if found >= best:
            best, kept, epoch_of_best = found, model.get_weights(), epoch + 1
    model.set_weights(kept)
    return model, {"best_epoch": epoch_of_best, "validation": best}


def accuracy(model: keras.Model, dataset: Dataset, recipe: Recipe, cache: ImageCache) -> float:
    """Top-1 on images prepared for evaluation."""
    preprocessing = preprocessing_of(recipe)
    images = EvaluationImages(dataset, preprocessing, recipe.workers, cache)
    logits = np.concatenate(
        [
            np.asarray(model.predict_on_batch(preprocessing.normalize(chunk[at : at + 64])))
            for chunk in images
            for at in range(0, len(chunk), 64)
        ]
    )
    labels = np.asarray([image.shown[0] for image in dataset.images])
    return float((logits.argmax(axis=1) == labels).mean())


def read(path: Path) -> list[dict[str, Any]]:
    """Read the rows that have been trained."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def key_of(row: Mapping[str, Any], names: tuple[str, ...] = KEY) -> tuple[str, ...]:
    return tuple(json.dumps(row[name]) for name in names)


def print_groups(rows: list[dict[str, Any]]) -> None:
    """Print mean, minimum and maximum over the seeds, then each recipe's mean over data sets."""
    groups: dict[tuple[str, ...], list[float]] = {}
    names = tuple(name for name in KEY if name != "seed")
    for row in rows:
        groups.setdefault(key_of(row, names), []).append(row["top1"])
    means: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for key, found in sorted(groups.items()):
        facts = dict(zip(names, map(json.loads, key), strict=True))
        mean, spread = statistics.mean(found), max(found) - min(found)
        print(
            f"{facts['recipe']:<8} {facts['network']:<24} {facts['data']}-{facts['photos']:<4} "
            f"batch {facts['batch'] or 'auto'}  {facts['weights']}  "
            f"{' '.join(facts['settings'])}  {mean:.3f}  "
            f"({', '.join(f'{each:.3f}' for each in found)})  spread {spread:.3f}"
        )
        of_all = tuple(json.dumps(facts[name]) for name in names if name not in ("data", "photos"))
        means.setdefault(of_all, []).append((mean, spread))
    for key, pairs in means.items():
        average, spreads = (statistics.mean(each) for each in zip(*pairs, strict=True))
        shown = " ".join(str(each) for each in map(json.loads, key) if each not in (None, []))
        print(f"mean of {len(pairs)} groups  {shown}: {average:.3f}, mean spread {spreads:.3f}")


def write_table(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the default recipe's results, by network, start and photos per class, as CSV.

    Only for rows trained on all data sets: a single one says little about others.
    """
    groups: dict[tuple[str, str, int, int], list[float]] = {}
    data: dict[tuple[str, str, int, int], set[str]] = {}
    for row in rows:
        is_own = row["batch"] is None and not row["settings"] and row["network"] != PLAIN
        if row["recipe"] == "default" and is_own:
            start = row["weights"] if row["weights"] in ("none", "fractal") else "weights"
            key = row["network"], start, row["photos"], row["epochs"]
            groups.setdefault(key, []).append(row["top1"])
            data.setdefault(key, set()).add(row["data"])
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["network", "weights", "photos_a_class", "epochs", "runs", "mean", "lowest", "highest"]
        )
        for key, found in sorted(groups.items()):
            if data[key] != set(MAKERS):
                continue
            figures = (statistics.mean(found), min(found), max(found))
            writer.writerow([*key, len(found), *(f"{each:.3f}" for each in figures)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", required=True, type=Path, help="where the draws are made")
    parser.add_argument("--out", required=True, type=Path, help="JSON lines, one a training")
    parser.add_argument("--data-sets", nargs="*", choices=MAKERS, default=[*CHOOSING, *CHECKING])
    parser.add_argument("--photos", nargs="*", type=int, default=[20, 50, 100, 300])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=["default"])
    parser.add_argument("--networks", nargs="*", default=["pplcnet_x0_25", "pplcnet_x1_0"])
    parser.add_argument("--batches", nargs="*", type=int, help="instead of the recipe's own")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--weights", nargs="*", default=["none"], help="starts, such as fractal")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow; 0 for its own")
    parser.add_argument("--table", type=Path, help="only write the table of RESULTS.jsonl there")
    arguments = parser.parse_args()
    if arguments.table:
        write_table(read(arguments.out), arguments.table)
        return
    if arguments.threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
        tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    print(describe_machine("keras", "tensorflow-cpu"))
    done = {key_of(row) for row in read(arguments.out)}
    wanted = list(rows_of(arguments))
    caches: dict[Path, ImageCache] = {}
    for row in wanted:
        if key_of(row) in done:
            continue
        folder = draw_of(row["data"], arguments.data, arguments.sets, row["photos"], row["seed"])
        found = measure(row, folder, caches.setdefault(folder, ImageCache()))
        with arguments.out.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps(found), flush=True)
    keys = {key_of(row) for row in wanted}
    print_groups([row for row in read(arguments.out) if key_of(row) in keys])


if __name__ == "__main__":
    main()
