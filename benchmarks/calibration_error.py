"""Measure how well the probabilities of bundles are calibrated, on test photos.

    python benchmarks/calibration_error.py PHOTOS BUNDLE...

Prints, for each bundle and for all answers together, top-1, the expected calibration error (15
bins), and the error that perfectly calibrated probabilities would show on as many answers. On few
photos the error is mostly noise; pooling the answers of several runs (seeds) reduces it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import pplcnet
from pplcnet.data.dataset import Dataset
from pplcnet.metrics.calibration import expected_calibration_error, least_calibration_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", help="a data set with splits, of which the test photos are used")
    parser.add_argument("bundles", nargs="+", type=Path)
    arguments = parser.parse_args()
    test = Dataset.open(arguments.photos).subset("test")
    labels = np.array([image.shown[0] for image in test.images])
    every = []
    for bundle in arguments.bundles:
        classifier = pplcnet.Classifier(bundle)
        if classifier.classes != test.classes:
            parser.error(f"{bundle} has other classes than {arguments.photos}")
        predictions = classifier.predict_many(image.path for image in test.images)
        probabilities = np.stack([each.probabilities for each in predictions])
        is_right = probabilities.argmax(axis=1) == labels
        every.append((probabilities.max(axis=1), is_right))
        print_line(str(bundle), *every[-1])
    if len(every) > 1:
        together = (np.concatenate(parts) for parts in zip(*every, strict=True))
        print_line("together", *together)


def print_line(name: str, confidences: np.ndarray, is_right: np.ndarray) -> None:
    print(
        f"{name}: {len(is_right)} answers, top-1 {is_right.mean():.3f}, calibration error "
        f"{expected_calibration_error(confidences, is_right):.3f} (perfect: "
        f"{least_calibration_error(confidences):.3f})"
    )


if __name__ == "__main__":
    main()
