"""Measure which near-duplicates the perceptual hashes find, and how long a search takes.

    python benchmarks/near_duplicates.py PHOTOS --among 100000

Changes every 19th photo in ways that a person would not count as a different photo, and prints how
many of them are found among all photos. Then times a search among random fingerprints.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageEnhance

from pplcnet.data.dataset import Dataset
from pplcnet.data.near_duplicates import fingerprint, group_similar, nearest
from pplcnet.imaging.decoding import decode


def saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cut(image: Image.Image, part: float) -> Image.Image:
    width, height = image.size
    left, top = round(width * part), round(height * part)
    return image.crop((left, top, width - left, height - top))


CHANGES = {
    "half the size": lambda each: each.resize((each.width // 2, each.height // 2)),
    "JPEG quality 30": lambda each: saved(each, 30),
    "grey": lambda each: each.convert("L").convert("RGB"),
    "brighter by 0.3": lambda each: ImageEnhance.Brightness(each).enhance(1.3),
    "contrast up by 0.3": lambda each: ImageEnhance.Contrast(each).enhance(1.3),
    "1 % cut off all round": lambda each: cut(each, 0.01),
    "3 % cut off all round": lambda each: cut(each, 0.03),
    "turned by 1 degree": lambda each: each.rotate(1, resample=Image.Resampling.BICUBIC),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--among", type=int, default=100_000)
    arguments = parser.parse_args()
    images = Dataset.open(arguments.photos).images
    began = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        prints = np.stack(list(pool.map(lambda each: fingerprint(decode(each.path)), images)))
    print(f"{len(images)} photos decoded and hashed in {time.perf_counter() - began:.1f} s")
    print(f"{len(group_similar(prints))} groups of near-duplicates among them")
    chosen = np.arange(0, len(images), 19)
    for name, change in CHANGES.items():
        changed = np.stack([fingerprint(change(decode(images[at].path))) for at in chosen])
        found = nearest(changed, prints)
        itself = (found.place == chosen).mean()
        other = ((found.place >= 0) & (found.place != chosen)).mean()
        print(f"{name:<22} found {itself:6.1%}, another photo taken for it {other:5.1%}")
    generator = np.random.default_rng(0)
    many = generator.integers(0, 2**64, (arguments.among, 5), dtype=np.uint64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    group_similar(many)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{len(many)} fingerprints searched in {time.perf_counter() - began:.1f} s, "
        f"{grown:.0f} MiB more memory at most"
    )


if __name__ == "__main__":
    main()
