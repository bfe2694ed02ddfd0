"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611), PaddleSeg's variant with separable convolutions.

The dilations are meant for a map of stride 16 but are used at 32, as in PP-LCNet's paper.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import keras

from pplcnet.models.blocks import layer_name, pool
from pplcnet.tasks.segmentation.blocks import classify, conv_relu, separable, wide_as

__all__ = ["build"]

DILATIONS = (6, 12, 18)
CHANNELS = 256
LOW_CHANNELS = 48
DROPOUT = 0.1


def build(maps: Sequence[Any], *, classes: int, align_corners: bool = False) -> Any:
    """Logits (N, h, w, classes) at stride 4.

    Args:
        maps: the backbone's maps (N, h, w, C) of strides 4, 8, 16 and 32.
        align_corners: for every resize in the network (`models.resizing.resize`).
    """
    deep = _pyramid(maps[3], align_corners)
    path = "head.decoder"
    low = conv_relu(maps[0], f"{path}.conv_bn_relu1", channels=LOW_CHANNELS)
    deep = wide_as(deep, low, path, align_corners=align_corners)
    joined = keras.layers.Concatenate(name=layer_name(f"{path}.concat"))([deep, low])
    for at in (2, 3):
        joined = separable(
            joined, f"{path}.conv_bn_relu{at}", channels=CHANNELS, depthwise_bias=True
        )
    return classify(joined, classes=classes, use_bias=True)


def _pyramid(deep: Any, align_corners: bool) -> Any:
    """Atrous spatial pyramid pooling: the map at several dilations, and pooled as a whole."""
    path = "head.aspp"
    branches = [conv_relu(deep, f"{path}.aspp_blocks.0", channels=CHANNELS)]
    branches += [
        separable(
            deep,
            f"{path}.aspp_blocks.{at}",
            channels=CHANNELS,
            dilation=dilation,
            depthwise_bias=True,
        )
        for at, dilation in enumerate(DILATIONS, start=1)
    ]
    whole = conv_relu(
        pool(deep, f"{path}.global_avg_pool.0"),
        f"{path}.global_avg_pool.1",
        channels=CHANNELS,
        use_bias=False,
    )
    branches.append(wide_as(whole, deep, path, align_corners=align_corners))
    joined = keras.layers.Concatenate(name=layer_name(f"{path}.concat"))(branches)
    joined = conv_relu(joined, f"{path}.conv_bn_relu", channels=CHANNELS)
    # With PyTorch, only a layer with a seed keeps its random state in a variable, which checkpoints
    # save.
    seed = random.randint(1, 1_000_000_000)  # noqa: S311
    return keras.layers.Dropout(DROPOUT, seed=seed, name=layer_name(f"{path}.dropout"))(joined)
