"""MobileNetV3 small and large (Howard et al. 2019, arXiv 1905.02244) as PaddleClas defines them.

Squeeze-and-excite has the older hard sigmoid of slope 0.2, and the last layer is 1280 wide in
both variants and at every scale.
"""

from __future__ import annotations

from typing import NamedTuple

import keras

from pplcnet.models.blocks import (
    Activation,
    activate,
    classify,
    conv_bn,
    depthwise_bn,
    layer_name,
    pool,
    scaled_channels,
    squeeze_excite,
)
from pplcnet.models.catalog import Network
from pplcnet.models.layers import HardSigmoid

__all__ = ["BLOCKS", "OPTIONS", "build", "default_dropout"]


class Block(NamedTuple):
    """One inverted residual: kernel, inner and output channels at scale 1, and what it has."""

    kernel: int
    expanded: int
    channels: int
    has_squeeze_excite: bool
    activation: Activation
    stride: int


STEM_CHANNELS = 16
LAST_CHANNELS = 1280
BLOCKS: dict[str, tuple[Block, ...]] = {
    "small": (
        Block(3, 16, 16, True, "relu", 2),
        Block(3, 72, 24, False, "relu", 2),
        Block(3, 88, 24, False, "relu", 1),
        Block(5, 96, 40, True, "hard_swish", 2),
        Block(5, 240, 40, True, "hard_swish", 1),
        Block(5, 240, 40, True, "hard_swish", 1),
        Block(5, 120, 48, True, "hard_swish", 1),
        Block(5, 144, 48, True, "hard_swish", 1),
        Block(5, 288, 96, True, "hard_swish", 2),
        Block(5, 576, 96, True, "hard_swish", 1),
        Block(5, 576, 96, True, "hard_swish", 1),
    ),
    "large": (
        Block(3, 16, 16, False, "relu", 1),
        Block(3, 64, 24, False, "relu", 2),
        Block(3, 72, 24, False, "relu", 1),
        Block(5, 72, 40, True, "relu", 2),
        Block(5, 120, 40, True, "relu", 1),
        Block(5, 120, 40, True, "relu", 1),
        Block(3, 240, 80, False, "hard_swish", 2),
        Block(3, 200, 80, False, "hard_swish", 1),
        Block(3, 184, 80, False, "hard_swish", 1),
        Block(3, 184, 80, False, "hard_swish", 1),
        Block(3, 480, 112, True, "hard_swish", 1),
        Block(3, 672, 112, True, "hard_swish", 1),
        Block(5, 672, 160, True, "hard_swish", 2),
        Block(5, 960, 160, True, "hard_swish", 1),
        Block(5, 960, 160, True, "hard_swish", 1),
    ),
}
OPTIONS: frozenset[str] = frozenset()


def default_dropout(**_: object) -> float:
    """The original's rate."""
    return 0.2


def build(inputs, row: Network, *, num_classes: int, dropout: float):
    """Feature maps by name, the embedding (N, 1280) and the logits (N, num_classes)."""
    features = conv_bn(
        inputs, "conv", channels=scaled_channels(STEM_CHANNELS * row.scale), kernel=3,
        strides=(2, 2),
    )  # fmt: skip
    stages = {"conv": features}
    blocks = BLOCKS[row.variant]
    for at, block in enumerate(blocks):
        features = _block(features, f"blocks.{at}", block, row.scale)
        stages[f"blocks.{at}"] = features
    features = conv_bn(
        features,
        "last_second_conv",
        channels=scaled_channels(blocks[-1].expanded * row.scale),
        kernel=1,
    )
    pooled = keras.layers.Conv2D(
        LAST_CHANNELS, 1, use_bias=False, kernel_initializer="he_normal", name="last_conv"
    )(pool(features))
    pooled = activate(pooled, "hard_swish", "last_conv")
    embedding, logits = classify(pooled, "fc", num_classes=num_classes, dropout=dropout)
    return stages, embedding, logits


def _block(inputs, path: str, block: Block, scale: float):
    channels = scaled_channels(block.channels * scale)
    features = conv_bn(
        inputs,
        f"{path}.expand_conv",
        channels=scaled_channels(block.expanded * scale),
        kernel=1,
        activation=block.activation,
    )
    features = depthwise_bn(
        features,
        f"{path}.bottleneck_conv",
        kernel=block.kernel,
        strides=(block.stride, block.stride),
        activation=block.activation,
    )
    if block.has_squeeze_excite:
        gate = HardSigmoid(0.2, 0.5, name=layer_name(f"{path}.mid_se.hardsigmoid"))
        features = squeeze_excite(features, f"{path}.mid_se", gate=gate)
    features = conv_bn(
        features, f"{path}.linear_conv", channels=channels, kernel=1, activation=None
    )
    if block.stride == 1 and inputs.shape[-1] == channels:
        features = keras.layers.Add(name=layer_name(f"{path}.add"))([inputs, features])
    return features
