"""Measure the cost of 12-megapixel photos: up to the network's input, in training, in the audit.

    python benchmarks/phone_photos.py PHOTOS [--audited 3000] [--agreement BUNDLE]

Makes photos of 4000x3000 pixels: one of PHOTOS enlarged, with the fine detail of many others laid
over it and camera noise, saved as phones do (JPEG, EXIF orientation 1 and 6), and as PNG and WebP;
and photos of 500x375.

Prints, for each kind, CPU milliseconds per photo and core from the file's content to 224x224
pixels, by interpolation and by the libraries in use, and how far the pixels are from those of
"pillow-bilinear", in grey levels; the cost of a photo in training; and that of the resize alone.
With --audited, also the seconds that the audit of that many 12-megapixel photos takes on all cores,
and what it puts into the picture cache (2.4 MB of temporary disk space per photo).

With --agreement, instead: a classifier's answers with "shrunk-bilinear" compared with those with
"pillow-bilinear", on labelled PHOTOS (their test split if they have one), unchanged and enlarged to
12 megapixels with camera noise: top-1 of both, and how often they agree. Takes a second per photo.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
from machine import describe_machine
from numpy.typing import NDArray
from PIL import Image

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.data.image_files import find_images
from pplcnet.imaging import acceleration, opencv_resizing
from pplcnet.imaging.augmentation import random_resized_crop
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.kept import keep_for_crops
from pplcnet.imaging.orientation import EXIF_ORIENTATION
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.runtime.classifier import Classifier
from pplcnet.system.processor import available_cores
from pplcnet.tasks import options_of
from pplcnet.tasks.audit import audit
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.pictures import picture_keeper, side_of

PHONE, ORDINARY = (4000, 3000), (500, 375)
INPUT = 224
INTERPOLATIONS = {
    "pillow-bilinear": {"interpolation": "pillow-bilinear"},
    "shrunk-bilinear": {"interpolation": "shrunk-bilinear"},
    "fast": {"policy": "fast"},
}
LIBRARIES: dict[str, tuple[str, ...]] = {
    "all": (),
    "without cykooz.resizer": ("cykooz_resizer",),
    "Pillow alone": ("cykooz_resizer", "simplejpeg", "cv2"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=4, help="different photos of each kind")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--audited", type=int, default=0, metavar="N")
    parser.add_argument("--agreement", metavar="BUNDLE", help="compare a classifier's answers")
    parser.add_argument("--most", type=int, default=400, help="photos for --agreement")
    arguments = parser.parse_args()
    print(describe_machine("pillow", "simplejpeg", "cykooz.resizer", "opencv-python-headless"))
    if arguments.agreement:
        _compare_answers(arguments.agreement, arguments.photos, arguments.most)
        return
    photos = list(find_images(arguments.photos))
    generator = np.random.default_rng(0)
    chosen = [photos[at] for at in generator.choice(len(photos), arguments.count, replace=False)]
    phone = [_enlarged(each, photos, PHONE, generator) for each in chosen]
    ordinary = [_enlarged(each, photos, ORDINARY, generator) for each in chosen]
    kinds = {
        "JPEG 4000x3000": [_encoded(each, "JPEG") for each in phone],
        "JPEG 4000x3000, orientation 6": [_encoded(each, "JPEG", 6) for each in phone],
        "PNG 4000x3000": [_encoded(each, "PNG") for each in phone[:1]],
        "WebP 4000x3000": [_encoded(each, "WEBP") for each in phone[:1]],
        "JPEG 500x375": [_encoded(each, "JPEG") for each in ordinary],
    }
    for kind, contents in kinds.items():
        print(f"\n{kind}, {statistics.mean(map(len, contents)) / 1e6:.2f} MB")
        _compare(contents, arguments.rounds)
        if kind.startswith("JPEG"):
            _training_picture(contents, arguments.rounds)
    _compare_resizes(ordinary[0], arguments.rounds)
    if arguments.audited:
        jpegs = kinds["JPEG 4000x3000"] + kinds["JPEG 4000x3000, orientation 6"]
        _audit(jpegs, arguments.audited)


def _enlarged(
    path: Path, others: Sequence[Path], size: tuple[int, int], generator: np.random.Generator
) -> Image.Image:
    """A photo enlarged, with fine detail from others, each at its own size."""
    width, height = size
    base = decode(path).resize(size, Image.Resampling.LANCZOS)
    detail = np.zeros((height, width, 3), np.float32)
    top = 0
    while top < height:
        left, deepest = 0, height
        while left < width:
            tile = np.asarray(decode(others[int(generator.integers(len(others)))]), np.float32)
            smooth = np.asarray(
                Image.fromarray(tile.astype(np.uint8)).reduce(4).resize(tile.shape[1::-1])
            )
            part = (tile - smooth)[: height - top, : width - left]
            detail[top : top + part.shape[0], left : left + part.shape[1]] = part
            left, deepest = left + tile.shape[1], min(deepest, tile.shape[0])
        top += deepest
    noisy = np.asarray(base) + 0.5 * detail + generator.normal(0, 2, detail.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _encoded(image: Image.Image, kind: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    if orientation == 6:
        image = image.transpose(Image.Transpose.ROTATE_90)
    buffer = io.BytesIO()
    # The usual settings of each format; for PNG the fastest, which hardly affects reading.
    image.save(buffer, kind, quality=90, exif=exif, compress_level=1)
    return buffer.getvalue()


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    real = acceleration.optional_module

    def absent(name: str) -> ModuleType | None:
        return None if name in names else real(name)

    with (
        mock.patch.object(acceleration, "optional_module", absent),
        mock.patch.object(opencv_resizing, "optional_module", absent),
    ):
        yield


def _cpu_milliseconds(work: Callable[[bytes], object], contents: Sequence[bytes], rounds: int):
    """The minimum over some rounds: other work on the machine only ever adds to it."""
    spent = []
    for _ in range(rounds):
        started = time.thread_time()
        for content in contents:
            work(content)
        spent.append((time.thread_time() - started) / len(contents) * 1000)
    return min(spent)


def _compare(contents: Sequence[bytes], rounds: int) -> None:
    exact = [Preprocessing(image_size=(INPUT, INPUT))(each) for each in contents]
    for name, options in INTERPOLATIONS.items():
        prepare = Preprocessing(image_size=(INPUT, INPUT), **options)  # type: ignore[arg-type]
        for libraries, absent in LIBRARIES.items():
            with _without(absent):
                found = [prepare(each) for each in contents]
                spent = _cpu_milliseconds(prepare, contents, rounds)
            away = [np.abs(a.astype(int) - b) for a, b in zip(found, exact, strict=True)]
            print(
                f"  {name:<16} {libraries:<23} {spent:7.2f} ms; "
                f"{np.mean(away):.2f} levels in the mean, {np.max(away)} at most",
                flush=True,
            )


def _training_picture(contents: Sequence[bytes], rounds: int) -> None:
    """The picture cached for training, and one epoch's view of it."""
    side = round(1.5 * INPUT)
    spent = _cpu_milliseconds(lambda content: keep_for_crops(content, side), contents, rounds)
    print(f"  decoded once for training {spent:6.2f} ms", end="")
    kept = keep_for_crops(contents[0], side)
    spent = _cpu_milliseconds(lambda _: _view(kept), [b""] * 50, rounds)
    print(f"; a view of it in an epoch {spent:.2f} ms", flush=True)


def _view(kept: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return random_resized_crop(
        kept,
        (INPUT, INPUT),
        scale=(0.6, 1.0),
        ratio=(0.75, 1.333),
        horizontal_flip=True,
        generator=np.random.default_rng(0),
    )


def _compare_resizes(image: Image.Image, rounds: int) -> None:
    """The resize alone, of pixels as a decoder outputs them."""
    pixels, size, box = np.asarray(image), (INPUT, INPUT), (0.0, 0.0, 500.0, 375.0)

    def by_pillow(_: bytes) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))

    ways = {
        "Pillow": by_pillow,
        "cykooz.resizer": lambda _: acceleration.resize_bilinear(pixels, size, box),
    }
    opencv = acceleration.optional_module("cv2")
    if opencv is not None:
        opencv.setNumThreads(1)
        ways["OpenCV INTER_AREA"] = lambda _: opencv.resize(
            pixels, size, interpolation=opencv.INTER_AREA
        )
    print(f"\nresize of {image.width}x{image.height} pixels to {INPUT}x{INPUT}")
    for name, resize in ways.items():
        resized = resize(b"")
        if resized is not None:
            spent = _cpu_milliseconds(resize, [b""] * 50, rounds)
            most = np.abs(resized.astype(int) - by_pillow(b"")).max()
            print(f"  {name:<18} {spent:.2f} ms; {most} levels from Pillow at most")


def _audit(contents: Sequence[bytes], count: int) -> None:
    """Audit `count` photos, in a class folder for each of `contents`, no two with equal pixels."""
    recipe = Recipe(cache_gigabytes=64).for_options(options_of("classification"))
    with tempfile.TemporaryDirectory() as temporary, ImageCache.of(recipe) as image_cache:
        for at in range(count):
            number, label = divmod(at, len(contents))
            folder = Path(temporary) / f"class_{label}"
            folder.mkdir(exist_ok=True)
            (folder / f"{number:05d}.jpg").write_bytes(_requantized(contents[label], number))
        dataset = Dataset.open(temporary)
        handover = Handover(side_of(recipe), picture_keeper(recipe, image_cache))
        started, spent = time.perf_counter(), time.process_time()
        found = audit(dataset, handover=handover)
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
        print(
            f"\naudit of {count} JPEGs of 4000x3000 on {available_cores()} cores: {seconds:.0f} s, "
            f"CPU {spent / count * 1000:.1f} ms a photo; {len(found.copies)} groups of copies, "
            f"{len(found.faults)} faults, {image_cache.kept_bytes / count / 1e6:.2f} MB kept each"
        )


def _compare_answers(bundle: str, photos: Path, most: int) -> None:
    """Compare a network's answers for photos resized in full and from a reduced size."""
    with Classifier(bundle) as classifier:
        dataset = Dataset.open(photos).with_classes(classifier.classes)
        held_out = dataset.subset("test")
        chosen = (held_out if len(held_out) else dataset).images
        chosen = chosen[:: -(-len(chosen) // most)]
        labels = np.array([image.shown[0] for image in chosen])
        own = classifier.manifest.preprocessing
        ways = {
            name: replace(own, interpolation=name, policy="exact")
            for name in ("pillow-bilinear", "shrunk-bilinear")
        }
        generator = np.random.default_rng(0)
        sizes: dict[str, Callable[[Path], bytes]] = {
            "as they are": Path.read_bytes,
            "enlarged to 12 megapixels": lambda path: _as_a_phone(path, generator),
        }
        print(f"{bundle}, {len(chosen)} photos of {photos}{' (test)' if len(held_out) else ''}")
        for size, content_of in sizes.items():
            logits: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ways}
            reduced = 0
            for image in chosen:
                content = content_of(image.path)
                for name, prepare in ways.items():
                    logits[name].append(classifier.run(prepare(content)[None])["logits"][0])
                reduced += ways["shrunk-bilinear"].divisor(decode(content).size) > 1
            answers = {name: np.stack(each).argmax(1) for name, each in logits.items()}
            exact, shrunk = answers.values()
            away = np.mean([np.abs(a - b).max() for a, b in zip(*logits.values(), strict=True)])
            print(
                f"  {size:<26} {reduced} reduced before the resize; top-1 "
                + ", ".join(f"{name} {(each == labels).mean():.4f}" for name, each in
                            answers.items())
                + f"; they agree on {(exact == shrunk).mean():.4f}; logits are {away:.3f} apart"
            )  # fmt: skip


def _as_a_phone(path: Path, generator: np.random.Generator) -> bytes:
    """A photo enlarged to 12 megapixels at its own aspect ratio, with noise, as JPEG."""
    image = decode(path)
    scale = (PHONE[0] * PHONE[1] / (image.width * image.height)) ** 0.5
    size = (round(image.width * scale), round(image.height * scale))
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.int16)
    noise = generator.integers(-6, 7, pixels.shape, np.int16)
    return _encoded(Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)), "JPEG")


def _requantized(content: bytes, number: int) -> bytes:
    """The same JPEG with slightly different quantisation of its lowest frequencies: other pixels.

    Only the four frequencies that remain at a quarter of the size change: two photos that are equal
    there are decoded in full, which hardly ever happens with a camera's photos. Up to 1296 numbers.
    """
    at = content.index(b"\xff\xdb") + 5
    steps = bytearray(content[at : at + 8])
    for place in (0, 1, 2, 4):
        number, more = divmod(number, 6)
        steps[place] += more
    return content[:at] + bytes(steps) + content[at + 8 :]


if __name__ == "__main__":
    main()
