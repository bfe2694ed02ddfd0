"""Photos for benchmarks in which only their size matters: 500x375 JPEGs of smooth noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["write_photos"]


def write_photos(folder: Path, count: int, classes: int = 2) -> Path:
    """Write photos in class folders; smooth noise compresses like photos."""
    generator = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8))
        target = folder / f"class_{number % classes}"
        target.mkdir(parents=True, exist_ok=True)
        small.resize((500, 375), Image.Resampling.BICUBIC).save(target / f"{number}.jpg")
    return folder
