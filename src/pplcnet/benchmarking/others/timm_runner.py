"""PyTorch as timm's users deploy it on a CPU: TorchScript, traced and frozen, float32."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pplcnet.benchmarking.others.worker import serve

# Catalog networks that timm has too, with timm's names.
NAMES = {
    "pplcnet_x0_35": "lcnet_035",
    "pplcnet_x0_5": "lcnet_050",
    "pplcnet_x0_75": "lcnet_075",
    "pplcnet_x1_0": "lcnet_100",
    "pplcnet_x1_5": "lcnet_150",
    "mobilenetv2_x0_5": "mobilenetv2_050",
    "mobilenetv2_x1_0": "mobilenetv2_100",
    "mobilenetv3_small_x0_5": "mobilenetv3_small_050",
    "mobilenetv3_small_x0_75": "mobilenetv3_small_075",
    "mobilenetv3_small_x1_0": "mobilenetv3_small_100",
    "mobilenetv3_large_x0_75": "mobilenetv3_large_075",
    "mobilenetv3_large_x1_0": "mobilenetv3_large_100",
    "ghostnet_x0_5": "ghostnet_050",
    "ghostnet_x1_0": "ghostnet_100",
    "ghostnet_x1_3": "ghostnet_130",
}


def main() -> None:
    """Run as a worker; the second argument is the number of threads."""
    import timm
    import torch

    torch.set_num_threads(int(sys.argv[2]))

    def build(name: str, image_size: tuple[int, int]) -> Callable[[], object] | None:
        if name not in NAMES:
            return None
        model = timm.create_model(NAMES[name], pretrained=False).eval()
        image = torch.randn(1, 3, *image_size)
        with torch.inference_mode():
            frozen = torch.jit.freeze(torch.jit.trace(model, image))

            def run() -> object:
                with torch.inference_mode():
                    return frozen(image)

            for _ in range(3):  # TorchScript optimises in its first runs
                run()
        return run

    serve(f"{timm.__version__} on PyTorch {torch.__version__}", build)


if __name__ == "__main__":
    main()
