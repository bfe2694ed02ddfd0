"""Measure what the shipped backbones are worth on small data sets, against a start from scratch.

    python benchmarks/formula_pretraining.py --data ../shared/data --sets SETS --out RESULTS.jsonl
    python benchmarks/formula_pretraining.py --data ../shared/data --sets SETS --out RESULTS.jsonl \
        --networks pplcnet_x0_25 --starts none fractal own.npz --epochs 8 --photos 50

Every row is one training by the project's own `fit` at 96 pixels. All starts have the same default
recipe, epochs, draws and seeds; with a backbone the learning rate is another. The epoch that is
best on the validation photos counts. `plain` is the network of four 3x3 convolutions of
`small_data.py`. The formulas were chosen by how soon the pretraining loss fell, with one look at
clothing, signs and digits; cells and ground had no say. Rows that RESULTS.jsonl has already are not
trained again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import keras
from machine import describe_machine
from small_data import PLAIN, accuracy, fit_plain
from small_data_sets import CHECKING, CHOOSING, MAKERS, draw_of

from pplcnet.data.dataset import Dataset
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.loop import fit

SIZE = 96
RATE = 0.05
"""The learning rate at a batch of 16 that a backbone is fine-tuned with; from scratch, the
recipe's own."""
AS_DRAWN = {"horizontal_flip": False, "crop_scale": (0.7, 1.0), "crop_fraction": 1.0}
"""Digits are neither mirrored nor cropped closely."""
NETWORKS = (
    "pplcnet_x0_25", "pplcnet_x0_35", "pplcnet_x0_5", "pplcnet_x0_75", "pplcnet_x1_0",
)  # fmt: skip
KEY = ("network", "start", "data", "photos", "seed", "epochs", "rate")


def measure(row: Mapping[str, Any], folder: Path, cache: ImageCache) -> dict[str, Any]:
    """Train a row; returns it with its test top-1."""
    dataset = Dataset.open(folder)
    training, validation = dataset.subset("train"), dataset.subset("validation")
    fields: dict[str, Any] = {name: row[name] for name in ("epochs", "seed")}
    fields |= {"image_size": SIZE, "workers": 1, "weights": None}
    if row["data"] == "digits":
        fields |= AS_DRAWN
    recipe = Recipe().changed(fields)
    started = time.process_time()
    if row["network"] == PLAIN:
        model, _ = fit_plain(training, validation, recipe, cache)
    else:
        recipe = recipe.changed({"model": row["network"]})
        if row["start"] != "none":
            rate = row["rate"] * 256 / 16
            recipe = recipe.changed({"weights": row["start"], "learning_rate": rate})
        with tempfile.TemporaryDirectory() as scratch:
            model = fit(training, validation, recipe, Path(scratch), image_cache=cache).model
    top1 = accuracy(model, dataset.subset("test"), recipe, cache)
    keras.backend.clear_session()
    return {
        **row,
        "top1": round(top1, 4),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The rows that were trained."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def print_table(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Mean of the seeds by network, start and data set, as a Markdown table."""
    columns = list(product(arguments.data_sets, arguments.photos))
    print("| network | start | " + " | ".join(f"{data}, {n}" for data, n in columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    groups: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
    for row in rows:
        group = groups.setdefault((row["network"], row["start"]), {})
        group.setdefault((row["data"], row["photos"]), []).append(row["top1"])
    for (network, start), found in groups.items():
        cells = [
            f"{statistics.mean(found[column]):.3f} ({len(found[column])})"
            if column in found
            else "-"
            for column in columns
        ]
        print(f"| {network} | {start} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", required=True, type=Path, help="where the draws are made")
    parser.add_argument("--out", required=True, type=Path, help="JSON lines, one a training")
    parser.add_argument("--data-sets", nargs="*", choices=MAKERS, default=[*CHOOSING, *CHECKING])
    parser.add_argument("--photos", nargs="*", type=int, default=[50])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--networks", nargs="*", default=[*NETWORKS, PLAIN])
    parser.add_argument("--starts", nargs="*", default=["none", "fractal"])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--rate", type=float, default=RATE, help="with a backbone, at a batch of 16"
    )
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow; 0 for its own")
    arguments = parser.parse_args()
    if arguments.threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
        tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    print(describe_machine("keras", "tensorflow-cpu"))
    wanted = [
        dict(
            zip(
                KEY,
                (network, start, data, photos, seed, arguments.epochs, arguments.rate),
                strict=True,
            )
        )
        for seed, data, photos, network in product(
            arguments.seeds, arguments.data_sets, arguments.photos, arguments.networks
        )
        for start in (["none"] if network == PLAIN else arguments.starts)
    ]
    done = {key_of(row) for row in read(arguments.out)}
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
    print_table([row for row in read(arguments.out) if key_of(row) in keys], arguments)


if __name__ == "__main__":
    main()
