"""scikit-learn's bundled handwritten digits as a folder of PNG files, for the demo.

1797 images of 8x8 pixels in ten classes (UCI Optical Recognition of Handwritten Digits, CC BY
4.0), written at 32x32, in the layout that users have their photos in.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pplcnet.errors import require

__all__ = ["write_digits"]


def write_digits(folder: Path, side: int = 32) -> int:
    """Write FOLDER/0/0000.png and so on, black on white; return the number of images."""
    datasets = require("sklearn.datasets", purpose="the demo's digits", extra="demo")
    digits = datasets.load_digits()
    for number, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        ink = (255 - np.clip(grey, 0, 16) * 255 / 16).astype(np.uint8)
        image = Image.fromarray(ink).resize((side, side), Image.Resampling.BICUBIC)
        target = folder / str(label)
        target.mkdir(parents=True, exist_ok=True)
        image.save(target / f"{number:04d}.png")
    return len(digits.images)
