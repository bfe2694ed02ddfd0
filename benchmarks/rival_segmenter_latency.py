"""torchvision's LR-ASPP on MobileNetV3 large in PyTorch: a separate process, random weights.

    python rival_segmenter_latency.py THREADS HEIGHT WIDTH

Prints a description of itself, and then answers every line on stdin with the milliseconds of one
image, traced and frozen, from normalised pixels to full-size logits of 19 classes.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torchvision.models.segmentation import lraspp_mobilenet_v3_large


class Logits(torch.nn.Module):  # type: ignore[misc]
    """The network without the dictionary around its output."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)["out"]


def main() -> None:
    """Build and time the network."""
    threads, height, width = map(int, sys.argv[1:4])
    torch.set_num_threads(threads)
    network = Logits(lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=19))
    network.eval()
    parameters = sum(each.numel() for each in network.parameters())
    images = torch.zeros(1, 3, height, width)
    with torch.inference_mode():
        traced = torch.jit.freeze(torch.jit.trace(network, images))
        for _ in range(3):
            traced(images)
        said = {"version": torch.__version__, "parameters": parameters}
        print(json.dumps(said), flush=True)
        for _ in sys.stdin:
            started = time.perf_counter()
            traced(images)
            print((time.perf_counter() - started) * 1000, flush=True)


if __name__ == "__main__":
    main()
