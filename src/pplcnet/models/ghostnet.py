"""GhostNet (Han et al. 2020, arXiv 1911.11907) as PaddleClas defines it.

Half of every convolution's channels come from a cheap depthwise convolution of the other half.
Squeeze-and-excite is gated by a plain clip to [0, 1], and dropout scales up in training.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import keras

from pplcnet.models.blocks import (
    UNDERSCORED,
    classify,
    layer_name,
    pool,
    scaled_channels,
    squeeze_excite,
)
from pplcnet.models.blocks import conv_bn as _conv_bn
from pplcnet.models.blocks import depthwise_bn as _depthwise_bn
from pplcnet.models.catalog import Network
from pplcnet.models.layers import HardSigmoid

__all__ = ["BLOCKS", "OPTIONS", "build", "default_dropout"]

conv_bn = partial(_conv_bn, kernel=1, names=UNDERSCORED)
depthwise_bn = partial(_depthwise_bn, activation=None, names=UNDERSCORED)


class Block(NamedTuple):
    """One bottleneck: kernel, inner and output channels at scale 1, and what it has."""

    kernel: int
    hidden: int
    channels: int
    has_squeeze_excite: bool
    stride: int


STEM_CHANNELS = 16
LAST_CHANNELS = 1280
BLOCKS = (
    Block(3, 16, 16, False, 1),
    Block(3, 48, 24, False, 2),
    Block(3, 72, 24, False, 1),
    Block(5, 72, 40, True, 2),
    Block(5, 120, 40, True, 1),
    Block(3, 240, 80, False, 2),
    Block(3, 200, 80, False, 1),
    Block(3, 184, 80, False, 1),
    Block(3, 184, 80, False, 1),
    Block(3, 480, 112, True, 1),
    Block(3, 672, 112, True, 1),
    Block(5, 672, 160, True, 2),
    Block(5, 960, 160, False, 1),
    Block(5, 960, 160, True, 1),
    Block(5, 960, 160, False, 1),
    Block(5, 960, 160, True, 1),
)
OPTIONS: frozenset[str] = frozenset()


def default_dropout(**_: object) -> float:
    """The original's rate."""
    return 0.2


def build(inputs, row: Network, *, num_classes: int, dropout: float):
    """Feature maps by name, the embedding (N, 1280) and the logits (N, num_classes)."""
    features = conv_bn(
        inputs,
        "conv1",
        channels=scaled_channels(STEM_CHANNELS * row.scale, 4),
        kernel=3,
        strides=(2, 2),
        activation="relu",
    )
    stages = {"conv1": features}
    for at, block in enumerate(BLOCKS):
        features = _block(features, f"_ghostbottleneck_{at}", block, row.scale)
        stages[f"ghostbottleneck_{at}"] = features
    features = conv_bn(
        features,
        "conv_last",
        channels=scaled_channels(BLOCKS[-1].hidden * row.scale, 4),
        activation="relu",
    )
    pooled = conv_bn(pool(features), "fc_0", channels=LAST_CHANNELS, activation="relu")
    embedding, logits = classify(
        pooled, "fc_1", num_classes=num_classes, dropout=dropout, scaled_dropout=False
    )
    return stages, embedding, logits


def _block(inputs, path: str, block: Block, scale: float):
    channels, strides = scaled_channels(block.channels * scale, 4), (block.stride, block.stride)
    features = _ghost_module(
        inputs, f"{path}.ghost_module_1", scaled_channels(block.hidden * scale, 4), "relu"
    )
    if block.stride == 2:
        features = depthwise_bn(
            features, f"{path}.depthwise_conv", kernel=block.kernel, strides=strides
        )
    if block.has_squeeze_excite:
        gate = HardSigmoid(1.0, 0.0, name=layer_name(f"{path}.se_block.clip"))
        features = squeeze_excite(
            features, f"{path}.se_block", gate=gate, names=("squeeze", "excitation")
        )
    features = _ghost_module(features, f"{path}.ghost_module_2", channels, None)
    shortcut = inputs
    if block.stride == 2 or inputs.shape[-1] != channels:
        shortcut = depthwise_bn(
            inputs, f"{path}.shortcut_depthwise", kernel=block.kernel, strides=strides
        )
        shortcut = conv_bn(shortcut, f"{path}.shortcut_conv", channels=channels, activation=None)
    return keras.layers.Add(name=layer_name(f"{path}.add"))([shortcut, features])


def _ghost_module(inputs, path: str, channels: int, activation):
    primary = conv_bn(
        inputs, f"{path}.primary_conv", channels=(channels + 1) // 2, activation=activation
    )
    cheap = depthwise_bn(primary, f"{path}.cheap_operation", kernel=3, activation=activation)
    return keras.layers.Concatenate(name=layer_name(f"{path}.concat"))([primary, cheap])
