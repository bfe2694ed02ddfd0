"""Measure five ratios against the authors' pipeline (OpenCV, Paddle Inference with oneDNN).

    python benchmarks/intel_bars.py BUNDLE PHOTOS --paddle-python PYTHON [--threads 2]

BUNDLE is a bundle of PP-LCNet after `pplcnet quantize`, which also tunes it. PYTHON is an
interpreter with paddlepaddle and opencv-python-headless. Both pipelines run the same weights, each
in its own process, interleaved. The small photos are 500x375, the large ones 4000x3000; all are
made from PHOTOS, so they have realistic detail. Takes about three minutes on two cores. Prints
medians, and each ratio next to this project's target.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from machine import describe_machine
from photo_to_label import (
    PADDLE,
    TUNED,
    Child,
    compare_answers,
    make_photos,
    measure_first_labels,
    parse_arguments,
    pipeline_commands,
)
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError
from pplcnet.runtime.selection import choose

ROUNDS = 10
# What is measured, its unit and decimals, and the target ratio; None if it is only shown.
FIGURES = {
    "network, one image": ("ms", 2, 3.5),
    "photo of 500x375 to label": ("ms", 2, 3.0),
    "photo of 4000x3000 to label": ("ms", 1, 4.0),
    "the same, rotated by EXIF": ("ms", 1, None),
    "photos/s": ("photos/s", 0, 4.5),
    "first label of a cold process": ("s", 3, 5.0),
}


def main() -> None:
    arguments = parse_arguments(__doc__, needs_paddle=True)
    started = time.perf_counter()
    print(describe_machine("onnxruntime", "openvino", "simplejpeg", "opencv-python-headless"))
    print(f"{arguments.bundle}: runs as {choose(Bundle.open(arguments.bundle)).choice}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small = make_photos(Path(arguments.photos), folder / "small", arguments.count)
        large = make_large_photos(Path(arguments.photos), folder / "large")
        commands = pipeline_commands(arguments, folder)
        print_table(measure({name: commands[name] for name in (PADDLE, TUNED)}, small, large))
    print(f"{time.perf_counter() - started:.0f} s in all")


def measure(
    commands: dict[str, list[str]], small: list[Path], large: dict[str, list[Path]]
) -> dict[str, dict[str, list[float]]]:
    """Figure to the values of each pipeline."""
    children = {name: Child(name, command) for name, command in commands.items()}
    compare_answers(children, small[:50])
    values: dict[str, dict[str, list[float]]] = {
        figure: {name: [] for name in children} for figure in FIGURES
    }
    for turn in range(ROUNDS):
        for name, child in children.items():
            values["network, one image"][name] += child.measure("network", small[:1], runs=30)
            part = small[turn % 4 :: 4]
            values["photo of 500x375 to label"][name] += child.measure("photo", part)
            for figure, photos in large.items():
                values[figure][name] += child.measure("photo", photos[turn % 2 :: 2])
            if turn % 2:
                values["photos/s"][name].append(child.measure("folder", small))
    for child in children.values():
        child.close()
    values["first label of a cold process"] = measure_first_labels(commands, small[0])
    return values


def print_table(values: dict[str, dict[str, list[float]]]) -> None:
    print(f"\n{'':<30} {PADDLE:>16} {TUNED:>16} {'ratio':>7} {'aim':>6}")
    for figure, (unit, digits, aim) in FIGURES.items():
        theirs, ours = (statistics.median(values[figure][name]) for name in (PADDLE, TUNED))
        ratio = ours / theirs if unit == "photos/s" else theirs / ours
        reached = "" if aim is None else f"{aim:6.1f}  {'reached' if ratio >= aim else 'missed'}"
        print(f"{figure:<30} {theirs:>16.{digits}f} {ours:>16.{digits}f} {ratio:>6.2f}x {reached}")


def make_large_photos(source: Path, folder: Path) -> dict[str, list[Path]]:
    """Make four 12-megapixel JPEGs, each from 64 photos tiled, and the same rotated by EXIF."""
    folder.mkdir()
    chosen = list(find_images(source))[:: max(1, sum(1 for _ in find_images(source)) // 256)]
    made: dict[str, list[Path]] = {
        "photo of 4000x3000 to label": [], "the same, rotated by EXIF": [],
    }  # fmt: skip
    for at in range(4):
        image = Image.new("RGB", (4000, 3000))
        for cell in range(64):
            with Image.open(chosen[(at * 64 + cell) % len(chosen)]) as opened:
                photo = opened.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC)
            image.paste(photo, (cell % 8 * 500, cell // 8 * 375))
        for figure, orientation in zip(made, (1, 6), strict=True):
            exif = Image.Exif()
            exif[0x0112] = orientation
            path = folder / f"{at}_{orientation}.jpg"
            image.save(path, quality=80, exif=exif)
            made[figure].append(path)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 8
    print(f"4 photos of 4000x3000, {size / 1024:.0f} KiB each")
    return made


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
