"""Write a small packed bundle with random weights, for the tests that run without Keras.

`python -m tests.runtime_only.make_bundle FILE.zip`, in an environment that can train.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model


def main(target: str) -> None:
    keras.utils.set_random_seed(1)
    preprocessing, classes = Preprocessing(image_size=(32, 32)), ("cat", "dog", "eel")
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    # Statistics of pictures, not those at the start: otherwise every logit is nearly zero.
    images = np.random.default_rng(1).integers(0, 256, (64, 32, 32, 3), np.uint8)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(preprocessing.normalize(images), training=True)
    head = model.get_layer("fc")
    head.kernel.assign(100 * head.kernel)
    logits = model(preprocessing.normalize(image), training=False)
    manifest = Manifest(
        classes=classes,
        preprocessing=preprocessing,
        network={"name": "pplcnet_x0_25", "options": {}},
        variants={"onnx": {"file": "model.onnx"}},
        provenance={"keras_logits": keras.ops.convert_to_numpy(logits)[0].tolist()},
    )
    content = to_onnx(model, Manifest(classes, preprocessing, {}), batch=1).SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder, "tiny.bundle"), manifest, {"model.onnx": content})
        bundle.pack(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
