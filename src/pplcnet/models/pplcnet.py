"""PP-LCNet (Cui et al. 2021, arXiv 2109.15099): the network definition.

Stem, five stages of depthwise-separable blocks, global average pooling, a 1x1 convolution to
1280 channels without BatchNorm, and a linear classifier. 5x5 kernels only from the second block
of `blocks5` on, squeeze-and-excite only in `blocks6`.
"""

from __future__ import annotations

from typing import NamedTuple

import keras

from pplcnet.models.blocks import (
    Strides,
    activate,
    classify,
    conv_bn,
    depthwise_bn,
    pool,
    scaled_channels,
    squeeze_excite,
)
from pplcnet.models.catalog import Network

__all__ = ["DEFAULT_STRIDES", "OPTIONS", "STAGES", "build", "default_dropout"]


class Block(NamedTuple):
    """One depthwise-separable block: kernel size, output channels at scale 1, attention."""

    kernel: int
    channels: int
    has_squeeze_excite: bool = False


STEM_CHANNELS = 16
LAST_CHANNELS = 1280

STAGES: tuple[tuple[str, tuple[Block, ...]], ...] = (
    ("blocks2", (Block(3, 32),)),
    ("blocks3", (Block(3, 64), Block(3, 64))),
    ("blocks4", (Block(3, 128), Block(3, 128))),
    ("blocks5", (Block(3, 256), *[Block(5, 256)] * 5)),
    ("blocks6", (Block(5, 512, True), Block(5, 512, True))),
)

# Stem, then the first block of blocks3, blocks4, blocks5 and blocks6; blocks2 always has stride 1.
DEFAULT_STRIDES: tuple[Strides, ...] = ((2, 2),) * 5


OPTIONS = frozenset({"strides", "last_conv", "last_conv_bias"})


def default_dropout(*, last_conv: bool = True, **_: object) -> float:
    """The original's rate; without the last convolution, it has no dropout."""
    return 0.2 if last_conv else 0.0


def build(
    inputs,
    row: Network,
    *,
    num_classes: int,
    dropout: float,
    strides: tuple[Strides, ...] = DEFAULT_STRIDES,
    last_conv: bool = True,
    last_conv_bias: bool = False,
):
    """The stages' feature maps by name, the embedding (N, D) and the logits (N, num_classes)."""
    stage_strides = dict(
        zip(("blocks3", "blocks4", "blocks5", "blocks6"), strides[1:], strict=True)
    )
    features = conv_bn(
        inputs,
        "conv1",
        channels=scaled_channels(STEM_CHANNELS * row.scale),
        kernel=3,
        strides=strides[0],
    )
    stages = {"conv1": features}
    for stage, blocks in STAGES:
        for index, block in enumerate(blocks):
            path = f"{stage}.{index}"
            block_strides = stage_strides.get(stage, (1, 1)) if index == 0 else (1, 1)
            features = depthwise_bn(
                features, f"{path}.dw_conv", kernel=block.kernel, strides=block_strides
            )
            if block.has_squeeze_excite:
                features = squeeze_excite(features, f"{path}.se")
            features = conv_bn(
                features,
                f"{path}.pw_conv",
                channels=scaled_channels(block.channels * row.scale),
                kernel=1,
            )
        stages[stage] = features

    pooled = pool(features)
    if last_conv:
        pooled = keras.layers.Conv2D(
            LAST_CHANNELS,
            1,
            use_bias=last_conv_bias,
            kernel_initializer="he_normal",
            name="last_conv",
        )(pooled)
        pooled = activate(pooled, "hard_swish", "last_conv")
    embedding, logits = classify(pooled, "fc", num_classes=num_classes, dropout=dropout)
    return stages, embedding, logits
