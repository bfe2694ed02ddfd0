"""AP of small objects in large pictures, with tiles and without.

    python benchmarks/detector_tiles.py BUNDLE PHOTOS [--grid 4] [--tiles 480x640]

Photos of the test split are pasted into pictures of GRID x GRID photos. The detector predicts each
photo alone, each picture as a whole, and each picture in tiles. Every box found in a picture is
assigned to the photo that contains its centre, so all three have the same ground truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pplcnet
from pplcnet.data.boxes import Boxes
from pplcnet.imaging.decoding import decode
from pplcnet.runtime.detector import Detector
from pplcnet.tasks.detection.decoding import Detections
from pplcnet.tasks.detection.matching import match_boxes
from pplcnet.tasks.detection.suppression import FoundBoxes


def pictures(photos: Sequence[Path], grid: int) -> Iterator[tuple[NDArray[np.uint8], list[Path]]]:
    """Yield pictures of grid x grid photos of one size, row by row; the last may have gaps."""
    for first in range(0, len(photos), grid * grid):
        some = photos[first : first + grid * grid]
        decoded = [np.asarray(decode(path)) for path in some]
        height, width = decoded[0].shape[:2]
        picture = np.zeros((grid * height, grid * width, 3), np.uint8)
        for at, pixels in enumerate(decoded):
            if pixels.shape != (height, width, 3):
                raise SystemExit(f"{some[at]}: is not {width}x{height}, as the first photo is.")
            top, left = at // grid * height, at % grid * width
            picture[top : top + height, left : left + width] = pixels
        yield picture, list(some)


def by_photo(found: Detections, count: int, grid: int, size: tuple[int, int]) -> list[FoundBoxes]:
    """The boxes of a picture that belong to each of its photos, in the photo's pixels."""
    width, height = size
    centres = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2 // [width, height]
    places = centres[:, 1] * grid + centres[:, 0]
    parts = []
    for at in range(count):
        own = np.flatnonzero(places == at)
        shift = np.array([at % grid * width, at // grid * height] * 2, np.float32)
        boxes = (found.xyxy[own] - shift).clip(0, [width, height] * 2).astype(np.float32)
        parts.append(FoundBoxes(boxes, found.class_id[own], found.confidence[own]))
    return parts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--grid", type=int, default=4)
    parser.add_argument("--tiles", default="480x640", help="HEIGHTxWIDTH in pixels")
    arguments = parser.parse_args()
    dataset = pplcnet.Dataset.open(arguments.photos)
    images = [image for image in dataset.images if image.split == "test"]
    truth = [image.annotation for image in images if isinstance(image.annotation, Boxes)]
    paths = [Path(image.path) for image in images]
    height, width = map(int, arguments.tiles.split("x"))
    found: dict[str, list[FoundBoxes]] = {"each photo alone": [], "whole": [], "tiles": []}
    seconds = dict.fromkeys(found, 0.0)
    with Detector(arguments.bundle) as detector:
        for one in detector.predict_many(paths):
            found["each photo alone"].append(FoundBoxes(one.xyxy, one.class_id, one.confidence))
        for picture, some in pictures(paths, arguments.grid):
            size = picture.shape[1] // arguments.grid, picture.shape[0] // arguments.grid
            for name, tiles in (("whole", None), ("tiles", (height, width))):
                start = time.process_time()
                answer = detector.predict(picture, tiles=tiles)
                seconds[name] += time.process_time() - start
                found[name] += by_photo(answer, len(some), arguments.grid, size)
    pixels = f"{picture.shape[1]}x{picture.shape[0]}"
    print(f"{len(paths)} photos in pictures of {pixels} pixels, tiles of {width}x{height}")
    for name, boxes in found.items():
        matches = match_boxes(truth, boxes, len(dataset.classes))
        ap, ap50 = matches.average_precision(), matches.average_precision(iou=0.5)
        print(f"{name:17} AP {ap:.3f}  AP50 {ap50:.3f}  {seconds[name]:6.2f} s of processor time")


if __name__ == "__main__":
    main()
