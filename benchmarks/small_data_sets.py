"""Make small data sets in class folders: fixed test photos, random draws of few training photos.

    python benchmarks/small_data_sets.py --data ../shared/data --out SETS
    python benchmarks/small_data_sets.py --data ../shared/data --out SETS --sets signs --photos 50

Writes SETS/pool/NAME/{train,test}/CLASS/*.png once, every photo with a short side of at most 160
pixels, and from it SETS/NAME-N-SEED/{train,validation,test}/CLASS: N training photos per class (or
as many as exist) and a fifth as many for validation, at least 4, drawn by the seed. The test photos
are the same in all draws. Files of a draw are hard links into the pool.

`clothing`, `signs` and `digits` may be used for tuning decisions. `cells` (crops of blood cells by
kind) and `ground` (patches of aerial photographs by the majority class of their pixels) may not:
they are for checking decisions made on the others.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pplcnet.data.digits import write_digits

SIDE = 160
PHOTOS = (20, 50, 100, 300)
SEEDS = (0, 1, 2)
VALIDATION = 0.2
LEAST_VALIDATION = 4
PATCH = 48
"""Pixels of a side of a patch of ground: of ten of them roads fill half of one."""


class Photo(NamedTuple):
    """One photo of a pool."""

    split: str
    """train or test."""
    label: str
    image: Image.Image


def clothing(data: Path) -> Iterator[Photo]:
    """The data set's own test photos; its training and validation photos are the pool."""
    for split in ("train", "validation", "test"):
        for path in sorted((data / "clothing" / split).glob("*/*")):
            own = "test" if split == "test" else "train"
            yield Photo(own, path.parent.name, Image.open(path))


def signs(data: Path) -> Iterator[Photo]:
    """Hands showing digits. The last 40 of each, by name: the same people took these."""
    for folder in sorted((data / "signs" / "Dataset").iterdir()):
        paths = sorted(folder.iterdir())
        for at, path in enumerate(paths):
            yield Photo("test" if at >= len(paths) - 40 else "train", folder.name, Image.open(path))


def digits(data: Path) -> Iterator[Photo]:
    """scikit-learn's handwritten digits; the last 50 of each, which other people wrote."""
    with tempfile.TemporaryDirectory() as folder:
        write_digits(Path(folder))
        for each in sorted(Path(folder).iterdir()):
            paths = sorted(each.iterdir())
            for at, path in enumerate(paths):
                yield Photo("test" if at >= len(paths) - 50 else "train", each.name, _loaded(path))


def cells(data: Path) -> Iterator[Photo]:
    """Blood cells in their boxes, by kind, at most 3 red ones of a photo; split as published."""
    for part in ("train", "val", "test"):
        table = json.loads((data / "bccd" / f"{part}.json").read_text())
        kinds = {each["id"]: each["name"] for each in table["categories"]}
        files = {each["id"]: each["file_name"] for each in table["images"]}
        red: dict[int, int] = {}
        for each in table["annotations"]:
            left, top, width, height = each["bbox"]
            kind, source = kinds[each["category_id"]], each["image_id"]
            if width < 8 or height < 8:
                continue
            if kind == "RBC":
                red[source] = red.get(source, 0) + 1
                if red[source] > 3:
                    continue
            with Image.open(data / "bccd" / "images" / files[source]) as photo:
                box = (left, top, left + width, top + height)
                yield Photo("test" if part == "test" else "train", kind, photo.crop(box))


def ground(data: Path) -> Iterator[Photo]:
    """Patches of aerial photographs, by the class of at least half of their pixels."""
    root = data / "dubai_aerial"
    names = (root / "classes.txt").read_text().split()
    for part in ("train", "val", "test"):
        for path in sorted((root / "images" / part).iterdir()):
            photo = _loaded(path)
            mask = np.asarray(Image.open(root / "masks" / part / f"{path.stem}.png"))
            for top in range(0, mask.shape[0] - PATCH + 1, PATCH):
                for left in range(0, mask.shape[1] - PATCH + 1, PATCH):
                    patch = mask[top : top + PATCH, left : left + PATCH]
                    counts = np.bincount(patch.ravel(), minlength=256)[: len(names)]
                    if counts.max() >= PATCH * PATCH / 2:
                        split = "test" if part == "test" else "train"
                        box = (left, top, left + PATCH, top + PATCH)
                        yield Photo(split, names[int(counts.argmax())], photo.crop(box))


MAKERS: dict[str, Callable[[Path], Iterator[Photo]]] = {
    "clothing": clothing,
    "signs": signs,
    "digits": digits,
    "cells": cells,
    "ground": ground,
}
CHOOSING = ("clothing", "signs", "digits")
"""The data sets on which decisions may be made."""
CHECKING = ("cells", "ground")
"""The data sets that may only check decisions."""


def _loaded(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def pool_of(name: str, data: Path, out: Path, most_test: int = 100) -> Path:
    """The folder with all photos of a data set, created if needed.

    At most `most_test` test photos per class, every k-th of them.
    """
    folder = out / "pool" / name
    if folder.is_dir():
        return folder
    making = folder.with_name(f"{name}.part")
    shutil.rmtree(making, ignore_errors=True)
    counts: dict[tuple[str, str], int] = {}
    for photo in MAKERS[name](data):
        key = photo.split, photo.label
        at = counts[key] = counts.get(key, 0) + 1
        image = photo.image.convert("RGB")
        shrink = SIDE / min(image.size)
        if shrink < 1:
            size = round(image.width * shrink), round(image.height * shrink)
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        target = making / photo.split / photo.label / f"{at:05d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, compress_level=1)
    for label in (making / "test").iterdir():
        paths = sorted(label.iterdir())
        if len(paths) > most_test:
            kept = {paths[int(at)] for at in np.linspace(0, len(paths) - 1, most_test)}
            for path in set(paths) - kept:
                path.unlink()
    making.rename(folder)
    return folder


def draw_of(name: str, data: Path, out: Path, photos: int, seed: int) -> Path:
    """The folder with one draw, created if needed."""
    folder = out / f"{name}-{photos}-{seed}"
    if folder.is_dir():
        return folder
    pool = pool_of(name, data, out)
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    random = np.random.default_rng((seed, photos))
    held_out = max(LEAST_VALIDATION, round(photos * VALIDATION))
    for label in sorted((pool / "train").iterdir()):
        paths = sorted(label.iterdir())
        order = [paths[int(at)] for at in random.permutation(len(paths))]
        parts = {
            "validation": order[:held_out],
            "train": order[held_out : held_out + photos],
            "test": sorted((pool / "test" / label.name).iterdir()),
        }
        for part, members in parts.items():
            target = making / part / label.name
            target.mkdir(parents=True)
            for path in members:
                os.link(path, target / path.name)
    making.rename(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--sets", nargs="*", choices=MAKERS, default=list(MAKERS))
    parser.add_argument("--photos", nargs="*", type=int, default=list(PHOTOS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    arguments = parser.parse_args()
    for name in arguments.sets:
        for photos in arguments.photos:
            for seed in arguments.seeds:
                folder = draw_of(name, arguments.data, arguments.out, photos, seed)
            counts = {
                part: [len(list(each.iterdir())) for each in sorted((folder / part).iterdir())]
                for part in ("train", "validation", "test")
            }
            print(f"{name}-{photos}: {counts}")


if __name__ == "__main__":
    main()
