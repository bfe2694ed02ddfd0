"""Evaluate a gallery of classes unseen in training, and time the search in a million vectors.

    python benchmarks/gallery.py PHOTOS --out FOLDER
    python benchmarks/gallery.py --vectors 1000000 --out FOLDER

PHOTOS has train and test folders of class folders, such as the clothing dataset. Every second class
is used for training, with `pplcnet train`; five photos of each other class make the gallery. Prints
recall@1 and mAP@R on their test photos, and how well they are told from photos of a class that is
neither trained on nor in the gallery: each of the new classes is left out of the gallery once, and
its photos are the unknown ones. Photos from --others count as unknown too.

With --vectors, random vectors around as many directions as classes are written as a gallery and
searched in a separate process: time per search, memory and bytes on disk. With --index, also with
an index: how long it takes to build, and how often it finds what exact search finds.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine

from pplcnet.gallery.changing import build_gallery, write_gallery
from pplcnet.gallery.class_photos import ClassPhoto, find_class_photos
from pplcnet.gallery.evaluation import GalleryEvaluation, LabelledVector, evaluate_gallery
from pplcnet.gallery.gallery import Gallery
from pplcnet.gallery.index import build_indexes
from pplcnet.gallery.manifest import Network
from pplcnet.gallery.parts import Row
from pplcnet.runtime.embedding import unit_length
from pplcnet.runtime.model import Model, load

PHOTOS_EACH = 5
DRAWS = 5


def main() -> None:
    """Print the requested figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="for the run and the galleries")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders of photos")
    parser.add_argument("--model", default="pplcnet_x1_0")
    parser.add_argument("--image-size", default="160")
    parser.add_argument("--epochs", default="30")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--vectors", type=int, default=0)
    parser.add_argument("--size", type=int, default=1280)
    parser.add_argument("--searches", type=int, default=50)
    parser.add_argument("--index", action="store_true", help="also search by an index")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.search:
        time_searches(arguments.search, arguments.searches)
        if arguments.index:
            compare_index(arguments.search, arguments.searches)
        return
    print(describe_machine("numpy", "onnxruntime"), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.photos:
        new_classes(arguments)
    if arguments.vectors:
        for dtype in ("float32", "float16"):
            many_vectors(arguments, dtype)


def new_classes(arguments: argparse.Namespace) -> None:
    """Train on every second class, and recognise the others from five photos each."""
    names = sorted(each.name for each in (arguments.photos / "train").iterdir() if each.is_dir())
    trained, new = names[::2], names[1::2]
    print(f"trained on {', '.join(trained)}; new are {', '.join(new)}", flush=True)
    model = load(trained_bundle(arguments, trained))
    pool = photos_of(arguments.photos / "train", new)
    test = vectors_of(model, photos_of(arguments.photos / "test", new))
    strange = [
        LabelledVector(f"({folder})", each.vector)
        for folder in arguments.others
        for each in model.embed_many(folder)
        if each.error is None
    ]
    recalls, precisions = [], []
    near: dict[str, list[float]] = {"AUROC": [], "FPR at 95 % TPR": [], "false acceptance": []}
    far: dict[str, list[float]] = {name: [] for name in near}
    rejections = []
    for draw in range(DRAWS):
        chosen = draw_photos(pool, draw)
        whole = evaluated(model, chosen, test, strange, arguments.out)
        recalls.append(whole.recall_at_1.value or 0)
        precisions.append(whole.mean_average_precision_at_r or 0)
        if strange:
            note(far, whole)
        for left_out in new:
            some = [each for each in chosen if each.label != left_out]
            found = evaluated(model, some, test, [], arguments.out)
            note(near, found)
            rejections.append(found.false_rejection.value or 0)
    print(f"{PHOTOS_EACH} photos of each of {len(new)} classes, {DRAWS} draws, {len(test)} queries")
    print(f"recall@1 {spread(recalls)}, mAP@R {spread(precisions)}")
    print("unknown: one new class, left out of the gallery")
    for name, values in near.items():
        print(f"  {name:<18} {spread(values)}")
    print(f"  {'false rejection':<18} {spread(rejections)}")
    if strange:
        print(f"unknown: {len(strange)} photos of {', '.join(map(str, arguments.others))}")
        for name, values in far.items():
            print(f"  {name:<18} {spread(values)}")


def note(figures: dict[str, list[float]], found: GalleryEvaluation) -> None:
    """Record the figures on unknown photos."""
    figures["AUROC"].append(found.auroc or 0)
    figures["FPR at 95 % TPR"].append(found.false_acceptance_at_95 or 0)
    figures["false acceptance"].append(found.false_acceptance.value or 0)


def trained_bundle(arguments: argparse.Namespace, classes: list[str]) -> Path:
    """The bundle trained on some of the classes; a finished run is not repeated."""
    out: Path = arguments.out
    run, photos = out / "run", out / "photos"
    if not (run / "evaluation" / "evaluation.json").is_file():
        for split in ("train", "validation", "test"):
            for name in classes:
                target = photos / split / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    target.symlink_to((arguments.photos / split / name).resolve())
        resume = ["--resume"] if (run / "run.json").is_file() else []
        subprocess.run(
            [
                sys.executable, "-m", "pplcnet", "train", str(photos), "--out", str(run),
                "--model", arguments.model, "--image-size", arguments.image_size,
                "--epochs", arguments.epochs, "--weights", arguments.weights, *resume,
            ],
            check=True,
        )  # fmt: skip
    return run


def photos_of(folder: Path, classes: list[str]) -> list[ClassPhoto]:
    """The photos in some of the class folders."""
    return [each for each in find_class_photos(folder)[0] if each.label in classes]


def vectors_of(model: Model[Any], photos: list[ClassPhoto]) -> list[LabelledVector]:
    """The embeddings of photos."""
    found = model.embed_many([each.path for each in photos])
    return [
        LabelledVector(photo.label, each.vector) for photo, each in zip(photos, found, strict=True)
    ]


def draw_photos(pool: list[ClassPhoto], seed: int) -> list[ClassPhoto]:
    """Draw five photos of each class."""
    chosen = []
    for name in sorted({each.label for each in pool}):
        own = [each for each in pool if each.label == name]
        chosen += random.Random(f"{seed} {name}").sample(own, PHOTOS_EACH)
    return chosen


def evaluated(
    model: Model[Any],
    photos: list[ClassPhoto],
    test: list[LabelledVector],
    strange: list[LabelledVector],
    out: Path,
) -> GalleryEvaluation:
    """The figures of a gallery."""
    gallery = build_gallery(model, photos, out / "gallery", overwrite=True).gallery
    return evaluate_gallery(gallery, [*test, *strange])


def spread(values: list[float]) -> str:
    """Mean, minimum and maximum, as text."""
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def many_vectors(arguments: argparse.Namespace, dtype: str) -> None:
    """Write a gallery of random vectors, search it in another process, and delete it."""
    place = arguments.out / f"vectors-{dtype}"
    shutil.rmtree(place, ignore_errors=True)
    started = time.perf_counter()
    network = Network("none", "0" * 64, "float32", "")
    gallery = write_gallery(
        place, network, arguments.size, rows(arguments.vectors, arguments.size), dtype=dtype
    )
    seconds = time.perf_counter() - started
    size = sum(each.stat().st_size for each in place.iterdir())
    print(
        f"{len(gallery)} vectors of {arguments.size} in {dtype}: {size / 1e9:.2f} GB on the disk, "
        f"written with their threshold in {seconds:.0f} s",
        flush=True,
    )
    del gallery
    subprocess.run(
        [sys.executable, __file__, "--out", str(arguments.out), "--search", str(place),
         "--searches", str(arguments.searches), *(["--index"] if arguments.index else [])],
        check=True,
    )  # fmt: skip
    shutil.rmtree(place)


def rows(count: int, size: int) -> Iterator[Row]:
    """Yield random vectors, five around each direction."""
    generator = np.random.default_rng(0)
    for start in range(0, count, 10_000):
        some = min(10_000, count - start)
        middles = generator.normal(size=(-(-some // 5), size)).astype(np.float32)
        noise = generator.normal(size=(some, size)).astype(np.float32)
        vectors = unit_length(np.repeat(middles, 5, axis=0)[:some] + noise)
        for at, vector in enumerate(vectors, start=start):
            yield Row(f"class {at // 5}", f"{at}.jpg", f"{at:032x}", vector)


def time_searches(place: Path, searches: int) -> None:
    """Print the time and memory of searches in a gallery, one query at a time and 16 at once."""
    before = memory()
    started = time.perf_counter()
    gallery = Gallery.open(place)
    opened = time.perf_counter() - started
    size = gallery.manifest.size
    queries = unit_length(np.random.default_rng(1).normal(size=(searches, size)).astype(np.float32))
    gallery.search(queries[0])
    times = []
    for query in queries:
        started = time.perf_counter()
        gallery.search(query)
        times.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    gallery.search_many(queries[:16])
    together = (time.perf_counter() - started) * 1000 / len(queries[:16])
    held = memory() - before
    print(
        f"  opened and verified in {opened:.1f} s; search p50 {statistics.median(times):.0f} ms, "
        f"p99 {np.percentile(times, 99):.0f} ms; {together:.0f} ms each of 16 at once; "
        f"{held / 1e6:.0f} MB of memory beside the mapped files",
        flush=True,
    )


def compare_index(place: Path, searches: int) -> None:
    """Print the time to build an index, its search time, and its recall."""
    gallery = Gallery.open(place)
    with tempfile.TemporaryDirectory(dir=place.parent) as cache:
        os.environ["PPLCNET_CACHE"] = cache
        started = time.perf_counter()
        for _ in build_indexes(gallery.manifest, gallery.vectors):
            pass
        seconds = time.perf_counter() - started
        size = sum(each.stat().st_size for each in Path(cache, "indexes").iterdir())
        gallery = Gallery.open(place)
        # A photo of a known class: between two of its vectors.
        generator = np.random.default_rng(2)
        queries = []
        for _ in range(searches):
            part = gallery.vectors[int(generator.integers(len(gallery.vectors)))]
            row = int(generator.integers(len(part) // 5)) * 5
            queries.append(unit_length(np.asarray(part[row : row + 2], np.float32).sum(axis=0)))
        times, first, shares = [], [], []
        gallery.search(queries[0])
        for query in queries:
            started = time.perf_counter()
            found = gallery.search(query)
            times.append((time.perf_counter() - started) * 1000)
            exact = gallery.search(query, is_exact=True)
            first.append(found.matches[0].photo == exact.matches[0].photo)
            names = {each.photo for each in exact.matches}
            shares.append(statistics.mean(each.photo in names for each in found.matches))
    print(
        f"  index of {size / 1e9:.2f} GB made in {seconds:.0f} s; search p50 "
        f"{statistics.median(times):.1f} ms, p99 {np.percentile(times, 99):.1f} ms; recall@1 "
        f"{statistics.mean(first):.3f}, recall@5 {statistics.mean(shares):.3f} of exact search",
        flush=True,
    )


def memory() -> int:
    """Bytes of this process's own memory, excluding mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


if __name__ == "__main__":
    main()
