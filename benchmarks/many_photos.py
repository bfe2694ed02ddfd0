"""Measure memory and speed of `pplcnet predict` on a folder with very many photos.

    python benchmarks/many_photos.py BUNDLE PHOTOS [--count 100000]

The folder consists of links to PHOTOS. Prints photos per second and the resident memory of the
process over time, which must not grow (Linux).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe_machine

from pplcnet.data.image_files import find_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--count", type=int, default=100_000)
    arguments = parser.parse_args()
    print(describe_machine("onnxruntime", "openvino"))
    photos = [photo.resolve() for photo in find_images(arguments.photos)]
    with tempfile.TemporaryDirectory() as temporary:
        for at in range(arguments.count):
            folder = Path(temporary) / f"{at // 1000:04d}"
            if at % 1000 == 0:
                folder.mkdir()
            photo = photos[at % len(photos)]
            (folder / f"{at:06d}{photo.suffix}").symlink_to(photo)
        command = [sys.executable, "-m", "pplcnet", "predict", arguments.bundle, temporary, "--csv"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = iter(process.stdout or ())
            next(lines)  # the header
            for done, _ in enumerate(lines, start=1):
                if done % (arguments.count // 10) == 0:
                    rate = done / (time.perf_counter() - started)
                    print(f"{done:>8} photos  {rate:6.0f} photos/s  "
                          f"{resident_mebibytes(process.pid):6.0f} MiB", flush=True)  # fmt: skip


def resident_mebibytes(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    main()
