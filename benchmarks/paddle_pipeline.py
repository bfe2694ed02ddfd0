"""The authors' pipeline: OpenCV, then Paddle Inference with oneDNN. Needs paddlepaddle and OpenCV.

Started by photo_to_label.py with a Python that has them (it need not have pplcnet). It builds
PP-LCNet in Paddle from a given state dict, saves the inference model once, and answers requests of
one JSON line each on stdin. Preprocessing is that of the official weights: short side 256 with
OpenCV's bilinear resize, centre crop 224, mean and standard deviation in numpy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pipeline_protocol import Pipeline, serve

from pplcnet.benchmarking.others.paddle_runner import create_predictor, save_inference_model


def save(state_file: Path, scale: float, size: int, folder: Path) -> None:
    from pplcnet.benchmarking.others.paddle_network import PPLCNet

    state = dict(np.load(state_file))
    model = PPLCNet(scale, classes=state["fc.bias"].shape[0])
    missing, unexpected = model.set_state_dict(state)
    if missing or unexpected:
        raise SystemExit(f"the state dict does not fit: {missing} {unexpected}")
    save_inference_model(model, (size, size), folder)


class PaddlePipeline(Pipeline):
    """OpenCV and Paddle Inference."""

    def __init__(self, folder: Path, size: int, threads: int) -> None:
        import cv2

        self._cv2 = cv2
        self._size = size
        self._predictor = create_predictor(folder, threads)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])
        self._mean = np.array([0.485, 0.456, 0.406], np.float32)
        self._std = np.array([0.229, 0.224, 0.225], np.float32)

    def prepare(self, photo: str) -> np.ndarray:
        read = self._cv2.imread(photo, self._cv2.IMREAD_COLOR)
        if read is None:
            raise ValueError(f"{photo}: OpenCV cannot read it")
        image = read[:, :, ::-1]
        height, width = image.shape[:2]
        short = round(self._size / 0.875)
        scale = short / min(height, width)
        image = self._cv2.resize(image, (round(width * scale), round(height * scale)))
        height, width = image.shape[:2]
        top, left = (height - self._size) // 2, (width - self._size) // 2
        image = image[top : top + self._size, left : left + self._size]
        normalized = (image.astype(np.float32) / 255 - self._mean) / self._std
        return np.ascontiguousarray(normalized.transpose(2, 0, 1)[np.newaxis])

    def run(self, prepared: np.ndarray) -> np.ndarray:
        self._input.copy_from_cpu(prepared)
        self._predictor.run()
        return self._output.copy_to_cpu()[0]


def main() -> None:
    state_file, scale, size, threads, folder = sys.argv[1:6]
    place = Path(folder)
    if not (place / "inference.pdiparams").is_file():
        save(Path(state_file), float(scale), int(size), place)
        return
    serve(PaddlePipeline(place, int(size), int(threads)), sys.argv[6:])


if __name__ == "__main__":
    main()
