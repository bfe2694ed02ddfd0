"""Measure memory and time for a large aerial photo in windows.

    python benchmarks/large_photo.py BUNDLE [--size 20000 10000] [--window 512] [--kinds tiff jpeg]

BUNDLE is a segmenter's. A photo of smooth noise is written as a TIFF in strips, as an
LZW-compressed TIFF, as a JPEG, as a JPEG rotated by EXIF and as a PNG. `pplcnet predict --window
--out` segments each in a separate process, and its peak memory is printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from PIL import Image

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiff": ("photo.tif", {}),
    "tiff-lzw": ("packed.tif", {"compression": "tiff_lzw"}),
    "jpeg": ("photo.jpg", {"quality": 90}),
    "jpeg-turned": ("turned.jpg", {"quality": 90}),
    "png": ("photo.png", {"compress_level": 1}),
}
TURNED = 6
"""EXIF orientation of a rotated photo."""
SQUARE = 1000


def photo(width: int, height: int) -> Image.Image:
    """Squares of smooth noise, some rotated, so that it compresses as little as a photo."""
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (SQUARE // 20, SQUARE // 20, 3), np.uint8)
    square = Image.fromarray(small).resize((SQUARE, SQUARE), Image.Resampling.BICUBIC)
    noise = generator.normal(0, 4, (SQUARE, SQUARE, 3))
    square = Image.fromarray((np.asarray(square) + noise).clip(0, 255).astype(np.uint8))
    image = Image.new("RGB", (width, height))
    for top in range(0, height, SQUARE):
        for left in range(0, width, SQUARE):
            image.paste(square.rotate(90 * int(generator.integers(4))), (left, top))
    return image


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=2, default=(20_000, 10_000), metavar=("W", "H"))
    parser.add_argument("--window", default="512")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    width, height = arguments.size
    if arguments.write:
        options = next(options for name, options in KINDS.values() if name == arguments.bundle.name)
        image = photo(width, height)
        if arguments.bundle.name == KINDS["jpeg-turned"][0]:
            image.getexif()[0x0112] = TURNED
            options = options | {"exif": image.getexif()}
        image.save(arguments.bundle, **options)
        return
    print(describe_machine("numpy", "pillow", "simplejpeg", "onnxruntime"))
    print(f"{width}x{height} pixels in windows of {arguments.window}\n")
    print("| file | MB | peak, MB | seconds | CPU seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds:
            path = Path(folder, KINDS[kind][0])
            # In a separate process: a child's peak counts at least this process's memory.
            writing = [sys.executable, __file__, path, "--write", "--size", width, height]
            subprocess.run([*map(str, writing)], check=True)
            command = [sys.executable, "-m", "pplcnet", "predict", arguments.bundle, path]
            command += ["--window", arguments.window, "--out", Path(folder, "maps")]
            started = time.perf_counter()
            process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            if status:
                raise SystemExit(f"{kind}: pplcnet predict failed.")
            print(
                f"| {kind} | {path.stat().st_size / 1e6:.0f} | {used.ru_maxrss * 1024 / 1e6:.0f} | "
                f"{seconds:.0f} | {used.ru_utime + used.ru_stime:.0f} |",
                flush=True,
            )
            path.unlink()


if __name__ == "__main__":
    main()
