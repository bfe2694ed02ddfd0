"""pplcnet's way from a photo to a label, for photo_to_label.py.

python benchmarks/pplcnet_pipeline.py BUNDLE ENGINE PRECISION THREADS [PHOTO]; "-" takes what the
bundle was tuned to.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from pipeline_protocol import Pipeline, serve

from pplcnet.runtime.classifier import Classifier


class OurPipeline(Pipeline):
    """A `Classifier`."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def prepare(self, photo: str) -> np.ndarray:
        return self._classifier.manifest.preprocessing(photo)[np.newaxis]

    def run(self, prepared: np.ndarray) -> np.ndarray:
        return self._classifier.run(prepared)["logits"][0]

    def label(self, photo: str) -> int:
        return self._classifier.predict(photo).best.class_index

    def labels(self, photos: list[str]) -> Iterator[int]:
        return (each.best.class_index for each in self._classifier.predict_many(photos))


def main() -> None:
    bundle, engine, precision, threads, *first = sys.argv[1:]
    classifier = Classifier(
        bundle,
        threads=int(threads),
        engine=None if engine == "-" else engine,
        precision=None if precision == "-" else precision,
    )
    serve(OurPipeline(classifier), first)


if __name__ == "__main__":
    main()
