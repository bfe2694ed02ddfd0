"""From a photo to its most probable class with Pillow and ONNX Runtime, as commonly written."""

from __future__ import annotations

import io
import os

import numpy as np
import onnxruntime
from PIL import Image

SIDE, COVERED = 224, 256


class Network:
    """The network of the file in the environment's NETWORK, on one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["NETWORK"], options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name

    def classify(self, content: bytes) -> dict[str, float]:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        scale = COVERED / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, Image.Resampling.BILINEAR)
        left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
        pixels = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))[np.newaxis]
        logits = self.session.run(None, {self.input: pixels})[0][0]
        chances = np.exp(logits - logits.max())
        best = int(chances.argmax())
        return {"class": best, "probability": float(chances[best] / chances.sum())}
