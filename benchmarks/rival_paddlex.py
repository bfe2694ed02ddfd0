"""PaddleX's own serving: python rival_paddlex.py PORT THREADS.

The pipeline "image_classification" on PP-LCNet x1.0 with random weights, which do not affect time,
and the authors' preprocessing. PaddleX serves from one process; THREADS is for Paddle. Needs
paddlepaddle and paddlex[serving].
"""

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

CLASSES, SIDE, COVERED = 1000, 224, 256


def write_model(folder: Path) -> None:
    """Write the network and `inference.yml` as PaddleX exports them (JSON is valid YAML)."""
    from pplcnet.benchmarking.others.paddle_network import PPLCNet
    from pplcnet.benchmarking.others.paddle_runner import save_inference_model

    save_inference_model(PPLCNet(1.0, classes=CLASSES), (SIDE, SIDE), folder)
    described = {
        "Global": {"model_name": "PP-LCNet_x1_0"},
        "PreProcess": {
            "transform_ops": [
                {"ResizeImage": {"resize_short": COVERED}},
                {"CropImage": {"size": SIDE}},
                {"NormalizeImage": {"channel_num": 3, "order": ""}},
                {"ToCHWImage": None},
            ]
        },
        "PostProcess": {"Topk": {"topk": 5, "label_list": [str(at) for at in range(CLASSES)]}},
    }
    (folder / "inference.yml").write_text(json.dumps(described))


def main() -> None:
    port, threads = sys.argv[1:]
    folder = Path(tempfile.mkdtemp())
    model = folder / "model"
    model.mkdir()
    write_model(model)
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(
        json.dumps(
            {
                "pipeline_name": "image_classification",
                "Serving": {"visualize": False},
                "SubModules": {
                    "ImageClassification": {
                        "module_name": "image_classification",
                        "model_name": "PP-LCNet_x1_0",
                        "model_dir": str(model),
                        "batch_size": 1,
                        "topk": 5,
                    }
                },
            }
        )
    )
    program = Path(sys.executable).with_name("paddlex")
    os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"
    os.environ["OMP_NUM_THREADS"] = threads
    os.execv(
        program,
        [str(program), "--serve", "--pipeline", str(pipeline), "--device", "cpu",
         "--host", "127.0.0.1", "--port", port],
    )  # fmt: skip


if __name__ == "__main__":
    main()
