"""Made the bundles of manifest format 1 in this folder; kept to show what they are.

Run with the code that wrote format 1, as `python make.py FOLDER`. Later code writes another format,
so it cannot make them again.

Everything is drawn here: pictures of coloured shapes. The network is the smallest of the catalog,
without its last convolution; four fifths of its 1x1 kernels are zero so that the files pack
well. It is frozen, and a real run trains the head, exports, calibrates and evaluates; quantizing
and tuning follow, the latter under the name of a processor that does not exist.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from PIL import Image, ImageDraw

import pplcnet
from pplcnet.bundle import Manifest, write_bundle
from pplcnet.weights.bundled import KERAS_FILE, pack_weights
from tests.bundle.reference import PROCESSOR, machine, weights_digest

COLOURS = {"blue": (40, 60, 230), "green": (30, 200, 60), "red": (230, 40, 30)}
CLASSES = ("blue circle", "green square", "red triangle")
RUN_PICTURES = 180
REFERENCE_PICTURES = 12


def draw_shape(label: int, generator: np.random.Generator) -> Image.Image:
    """One shape of a class of `CLASSES` on grey; one in five has any colour, so some are hard."""
    image = Image.new("RGB", (48, 40), (int(generator.integers(90, 150)),) * 3)
    draw = ImageDraw.Draw(image)
    x, y = (int(each) for each in generator.integers(0, 16, 2))
    tint = generator.integers(-60, 60, 3)
    tone = label if generator.random() < 0.8 else int(generator.integers(3))
    colour = tuple(int(each) for each in np.clip(tuple(COLOURS.values())[tone] + tint, 0, 255))
    box = (x, y, x + 24, y + 22)
    if label == 0:
        draw.ellipse(box, fill=colour)
    elif label == 1:
        draw.rectangle(box, fill=colour)
    else:
        draw.polygon([(x, y + 22), (x + 12, y), (x + 24, y + 22)], fill=colour)
    return image


def draw_discs(marks: np.ndarray, generator: np.random.Generator) -> Image.Image:
    """A disc for each colour that is marked, side by side on grey."""
    image = Image.new("RGB", (48, 40), (120, 120, 120))
    for place, (mark, colour) in enumerate(zip(marks, COLOURS.values(), strict=True)):
        if mark:
            x, y = 16 * place, int(generator.integers(0, 12))
            tint = generator.integers(-70, 70, 3)
            fill = tuple(int(each) for each in np.clip(colour + tint, 0, 255))
            ImageDraw.Draw(image).ellipse((x, y, x + 15, y + 27), fill=fill)
    return image


def write_shapes(folder: Path, count: int, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    for number in range(count):
        label = number % len(CLASSES)
        target = folder / CLASSES[label]
        target.mkdir(parents=True, exist_ok=True)
        draw_shape(label, generator).save(target / f"{number:03d}.png")
    return folder


def write_discs(folder: Path, count: int, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        marks = (generator.random(3) < 0.5).astype(int)
        draw_discs(marks, generator).save(folder / f"{number:03d}.png")
        rows.append([f"{number:03d}.png", *marks])
    with (folder / "photos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", *COLOURS], *rows])
    return folder / "photos.csv"


class Sparse(keras.constraints.Constraint):
    """Keeps at zero what is zero in `kept`."""

    def __init__(self, kept: np.ndarray) -> None:
        self.kept = kept.astype(np.float32)

    def __call__(self, kernel: Any) -> Any:
        return kernel * self.kept


def write_start(folder: Path, pictures: np.ndarray, targets: np.ndarray) -> Path:
    """A bundle of a trained network, four fifths of whose 1x1 kernels are zero."""
    keras.utils.set_random_seed(5)
    generator = np.random.default_rng(5)
    model = pplcnet.create_model("pplcnet_x0_25", num_classes=3, image_size=32, last_conv=False)
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and tuple(kernel.shape[:2]) == (1, 1):
            kernel.constraint = Sparse(generator.random(kernel.shape) < 0.2)
            kernel.assign(kernel.constraint(2 * kernel))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    preprocessing = pplcnet.Preprocessing(image_size=(32, 32))
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    images = preprocessing.normalize(pictures)
    model.fit(images, targets, batch_size=32, epochs=25, verbose=0)
    right = (np.asarray(model.predict(images, verbose=0)) > 0) == (targets > 0)
    assert right.mean() > 0.85
    manifest = Manifest(
        classes=("a", "b", "c"),
        preprocessing=preprocessing,
        network={"name": "pplcnet_x0_25", "options": {"dropout": 0.0, "last_conv": False}},
        variants={"keras": {"file": KERAS_FILE}},
    )
    return write_bundle(folder, manifest, {KERAS_FILE: pack_weights(model)}).path


def start_on_shapes(folder: Path) -> Path:
    generator = np.random.default_rng(6)
    labels = generator.integers(0, 3, 500)
    drawn = [draw_shape(int(label), generator).resize((32, 32)) for label in labels]
    return write_start(folder, np.stack(drawn), np.eye(3, dtype=np.float32)[labels])


def start_on_discs(folder: Path) -> Path:
    generator = np.random.default_rng(7)
    marks = (generator.random((500, 3)) < 0.5).astype(np.float32)
    drawn = [draw_discs(each, generator).resize((32, 32)) for each in marks]
    return write_start(folder, np.stack(drawn), marks)


def make(
    kind: str, photos: Path, more: Path, reference: Path, start: Path, work: Path, out: Path
) -> dict[str, np.ndarray]:
    """Run, calibrate on `more`, quantize, tune and pack; what the bundle answers, by name."""
    recipe = replace(
        pplcnet.Recipe(),
        model="pplcnet_x0_25",
        image_size=(32, 32),
        weights=str(start),
        freeze="trunk",
        epochs=20,
        batch_size=8,
        learning_rate=0.02,
        horizontal_flip=False,
        crop_scale=(0.9, 1.0),
    )
    pplcnet.run_job(photos, recipe, work / kind)
    run = work / kind / "model.bundle"
    validation = pplcnet.Dataset.open(more)
    pplcnet.calibrate(run, validation)
    paths = [image.path for image in validation.images]
    pplcnet.quantize(run, validation, calibration=paths[:60], max_drop=0.2)
    with (
        mock.patch("pplcnet.deployment.tuning.processor_name", return_value=PROCESSOR),
        mock.patch("pplcnet.deployment.tuning.MIN_AGREEMENT", 0.8),
    ):
        pplcnet.tune(run, validation, fast_resize=True, max_drop=0.2)
    bundle = pplcnet.Bundle.open(run)
    assert bundle.manifest.temperature != 1
    assert 0.5 not in bundle.manifest.thresholds.values()
    bundle.pack(out / f"{kind}.zip")

    classifier = pplcnet.Classifier(out / f"{kind}.zip", threads=1)
    dataset = pplcnet.Dataset.open(reference)
    images = [np.asarray(Image.open(each.path)) for each in dataset.images]
    answers = [classifier.predict(each) for each in images]
    evaluation = pplcnet.evaluate(classifier, dataset)
    figures = {
        key: value
        for key, value in evaluation.figures().items()
        if key in ("top1", "map", "macro_f1")
    }
    return {
        "images": np.stack(images),
        "truth": _truth(dataset, reference),
        "logits": np.stack([each.logits for each in answers]),
        "probabilities": np.stack([each.probabilities for each in answers]),
        "labels": np.array([";".join(each.label for each in answer.labels) for answer in answers]),
        "top": np.array([[each.label for each in answer.top(3)] for answer in answers]),
        "weights": np.array(weights_digest(pplcnet.restore_model(bundle))),
        **{name: np.array(value) for name, value in figures.items()},
    }


def _truth(dataset: pplcnet.Dataset, reference: Path) -> np.ndarray:
    """A class for each picture, or 1 and 0 for each picture and label."""
    if reference.is_dir():
        return np.array([each.path.parent.name for each in dataset.images])
    with reference.open(newline="") as file:
        marks = {row.pop("path"): row for row in csv.DictReader(file)}
    rows = [marks[each.path.name] for each in dataset.images]
    return np.array([[int(row[name]) for name in COLOURS] for row in rows])


def main(target: str) -> None:
    out = Path(target)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        single = make(
            "classification",
            write_shapes(work / "shapes", RUN_PICTURES, seed=1),
            write_shapes(work / "more_shapes", RUN_PICTURES, seed=8),
            write_shapes(work / "reference_shapes", REFERENCE_PICTURES, seed=2),
            start_on_shapes(work / "start_on_shapes.bundle"),
            work,
            out,
        )
        multi = make(
            "multilabel",
            write_discs(work / "discs", RUN_PICTURES, seed=3),
            write_discs(work / "more_discs", RUN_PICTURES, seed=9),
            write_discs(work / "reference_discs", REFERENCE_PICTURES, seed=4),
            start_on_discs(work / "start_on_discs.bundle"),
            work,
            out,
        )
    np.savez_compressed(
        out / "expected.npz",
        machine=np.array(machine()),
        **{f"classification_{name}": value for name, value in single.items()},
        **{f"multilabel_{name}": value for name, value in multi.items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
