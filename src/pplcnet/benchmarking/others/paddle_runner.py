"""Paddle Inference with oneDNN, as PP-LCNet's authors deploy it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pplcnet.benchmarking.others.worker import serve
from pplcnet.models.catalog import CATALOG

__all__ = ["create_predictor", "save_inference_model"]


def save_inference_model(network: Any, image_size: tuple[int, int], folder: Path) -> None:
    """Write a Paddle network as `inference.json` and `inference.pdiparams`."""
    import paddle
    from paddle.static import InputSpec

    network.eval()
    spec = [InputSpec([None, 3, *image_size], "float32", name="x")]
    static = paddle.jit.to_static(network, input_spec=spec, full_graph=True)
    paddle.jit.save(static, str(folder / "inference"))


def create_predictor(folder: Path, threads: int) -> Any:
    """Paddle's predictor with oneDNN, for a folder from `save_inference_model`."""
    from paddle import inference

    programs = (folder / "inference.json", folder / "inference.pdmodel")
    program = next(each for each in programs if each.is_file())
    config = inference.Config(str(program), str(folder / "inference.pdiparams"))
    config.disable_gpu()
    config.enable_mkldnn()
    config.set_cpu_math_library_num_threads(threads)
    config.disable_glog_info()
    return inference.create_predictor(config)


def main() -> None:
    """Run as a worker; the second argument is the number of threads."""
    import paddle

    threads = int(sys.argv[2])

    def build(name: str, image_size: tuple[int, int]) -> Callable[[], object] | None:
        network = _network(name)
        if network is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            save_inference_model(network, image_size, Path(folder))
            predictor = create_predictor(Path(folder), threads)
        given = predictor.get_input_handle(predictor.get_input_names()[0])
        output = predictor.get_output_handle(predictor.get_output_names()[0])
        image = np.random.default_rng(0).standard_normal((1, 3, *image_size)).astype(np.float32)

        def run() -> object:
            given.copy_from_cpu(image)
            predictor.run()
            return output.copy_to_cpu()

        return run

    serve(paddle.__version__, build)


def _network(name: str) -> Any:
    """PP-LCNet from this project's definition, MobileNets from Paddle; None for the others."""
    from paddle.vision import models

    from pplcnet.benchmarking.others.paddle_network import PPLCNet

    row = CATALOG.get(name)
    if row is None:
        return None
    if row.family == "pplcnet":
        return PPLCNet(row.scale, classes=1000)
    builders = {
        ("mobilenetv1", ""): models.mobilenet_v1,
        ("mobilenetv2", ""): models.mobilenet_v2,
        ("mobilenetv3", "small"): models.mobilenet_v3_small,
        ("mobilenetv3", "large"): models.mobilenet_v3_large,
    }
    builder = builders.get((row.family, row.variant))
    return None if builder is None else builder(scale=row.scale)


if __name__ == "__main__":
    main()
