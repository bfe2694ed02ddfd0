"""Keras' own ways of running one image: `model.predict`, or a `tf.function`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from pplcnet.benchmarking.others.worker import serve
from pplcnet.models.catalog import CATALOG


def main() -> None:
    """Run as a worker: arguments are "keras-predict" or "tf-function", and the threads."""
    import keras
    import tensorflow as tf

    from pplcnet.models.build import build_model

    way, threads = sys.argv[1], int(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(threads)

    def build(name: str, image_size: tuple[int, int]) -> Callable[[], object] | None:
        if name not in CATALOG:
            return None
        model = build_model(name, image_size=image_size)
        image = np.random.default_rng(0).standard_normal((1, *image_size, 3)).astype(np.float32)
        if way == "keras-predict":
            return lambda: model.predict(image, verbose=0)
        tensor = tf.constant(image)
        function = tf.function(lambda images: model(images, training=False))
        return lambda: function(tensor).numpy()

    serve(f"{keras.__version__} on TensorFlow {tf.__version__}", build)


if __name__ == "__main__":
    main()
