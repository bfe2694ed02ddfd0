"""Building blocks of PaddleSeg's heads; layers are named after its state dict.

The heads use ReLU. Most of their convolutions have a bias before BatchNorm, because the published
weights do.
"""

from __future__ import annotations

from typing import Any

import keras

from pplcnet.models.blocks import (
    BATCHNORM_EPSILON,
    BATCHNORM_MOMENTUM,
    activate,
    layer_name,
)
from pplcnet.models.layers import BatchNormalization, DepthwiseConv2D
from pplcnet.models.resizing import ResizeLike

__all__ = ["classify", "conv_relu", "logits_layer", "separable", "wide_as"]


def conv_relu(features: Any, path: str, *, channels: int, use_bias: bool = True) -> Any:
    """1x1 convolution, BatchNorm, ReLU: (N, h, w, C) to (N, h, w, channels)."""
    features = keras.layers.Conv2D(
        channels,
        1,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=layer_name(f"{path}._conv"),
    )(features)
    return activate(_normalize(features, path), "relu", path)


def separable(
    features: Any, path: str, *, channels: int, dilation: int = 1, depthwise_bias: bool = False
) -> Any:
    """3x3 depthwise convolution and BatchNorm without activation, then `conv_relu`."""
    inside = f"{path}.depthwise_conv"
    features = DepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=depthwise_bias,
        # He initialisation, counting the 9 inputs of each output.
        depthwise_initializer=keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5),
        name=layer_name(f"{inside}._conv"),
    )(features)
    features = _normalize(features, inside)
    # Spelled like this in the original's names.
    return conv_relu(features, f"{path}.piontwise_conv", channels=channels)


def _normalize(features: Any, path: str) -> Any:
    return BatchNormalization(
        epsilon=BATCHNORM_EPSILON,
        momentum=BATCHNORM_MOMENTUM,
        name=layer_name(f"{path}._batch_norm"),
    )(features)


def wide_as(features: Any, partner: Any, path: str, *, align_corners: bool = False) -> Any:
    """The features (N, h, w, C), resized to the size of `partner`."""
    return ResizeLike(align_corners, name=layer_name(f"{path}.resize"))([features, partner])


def logits_layer(head: int) -> str:
    """The name of the layer that outputs a head's logits; head 0 is the deployed one."""
    return f"head_{head}_logits"


def classify(features: Any, *, classes: int, head: int = 0, use_bias: bool = False) -> Any:
    """Logits (N, h, w, classes), float32 under every dtype policy."""
    return keras.layers.Conv2D(
        classes,
        1,
        use_bias=use_bias,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=logits_layer(head),
    )(features)
