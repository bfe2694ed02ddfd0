"""LR-ASPP (Howard et al. 2019, arXiv 1905.02244), MobileNetV3's own head, as in PaddleSeg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from pplcnet.models.blocks import layer_name, pool
from pplcnet.tasks.segmentation.blocks import classify, conv_relu, wide_as

__all__ = ["build"]

CHANNELS = 128
SKIPS = ((1, 64), (0, 32))
"""The backbone's maps that are joined one after the other, and the channels that each gives."""


def build(maps: Sequence[Any], *, classes: int) -> Any:
    """Logits (N, h, w, classes) at stride 4.

    Args:
        maps: the backbone's maps (N, h, w, C) of strides 4, 8, 16 and 32.
    """
    path = "lraspp_head"
    values = conv_relu(maps[3], f"{path}.conv_v", channels=CHANNELS)
    weights = _conv(pool(maps[3], f"{path}.conv_w.0"), f"{path}.conv_w.1", CHANNELS)
    weights = keras.layers.Activation("sigmoid", name=layer_name(f"{path}.conv_w.2"))(weights)
    features = keras.layers.Multiply(name=layer_name(f"{path}.scale"))([values, weights])
    features = _conv(features, f"{path}.conv_t", CHANNELS)
    for at, (level, width) in enumerate(SKIPS):
        skip = _conv(maps[level], f"{path}.convs.{at}", width)
        features = wide_as(features, skip, f"{path}.convs.{at}")
        features = keras.layers.Concatenate(name=layer_name(f"{path}.concat.{at}"))(
            [features, skip]
        )
        features = conv_relu(features, f"{path}.conv_ups.{at}", channels=CHANNELS)
    return classify(features, classes=classes)


def _conv(features: Any, path: str, channels: int) -> Any:
    """A 1x1 convolution without BatchNorm or activation."""
    return keras.layers.Conv2D(
        channels, 1, use_bias=False, kernel_initializer="he_normal", name=layer_name(path)
    )(features)
