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
    conv_bn,
    depthwise_bn,
    layer_name,
    scaled_channels,
    squeeze_excite,
)
from pplcnet.models.layers import HardSwish

__all__ = ["DEFAULT_STRIDES", "STAGES", "build"]


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

# Stem, then the first block of blocks3, blocks4, blocks5 and blocks6; blocks2 never strides.
DEFAULT_STRIDES: tuple[Strides, ...] = ((2, 2),) * 5


def build(
    inputs,
    *,
    scale: float,
    num_classes: int,
    strides: tuple[Strides, ...],
    last_conv: bool,
    dropout: float,
):
    """The stages' feature maps by name, the embedding (N, D) and the logits (N, num_classes)."""
    stage_strides = dict(
        zip(("blocks3", "blocks4", "blocks5", "blocks6"), strides[1:], strict=True)
    )
    features = conv_bn(
        inputs,
        "conv1",
        channels=scaled_channels(STEM_CHANNELS * scale),
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
                channels=scaled_channels(block.channels * scale),
                kernel=1,
            )
        stages[stage] = features

    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(features)
    if last_conv:
        pooled = keras.layers.Conv2D(
            LAST_CHANNELS, 1, use_bias=False, kernel_initializer="he_normal", name="last_conv"
        )(pooled)
        pooled = HardSwish(name="last_conv_hardswish")(pooled)
    embedding = keras.layers.Flatten(name="flatten")(pooled)
    logits = _classifier(embedding, num_classes=num_classes, dropout=dropout)
    return stages, embedding, logits


def _classifier(embedding, *, num_classes: int, dropout: float):
    features = embedding
    if dropout > 0:
        # The original drops without scaling up in training and multiplies by 1 - p in inference
        # ("downscale_in_infer"). Scaling down first and dropping the Keras way, which scales up,
        # is the same in both modes; trained weights need that factor.
        features = keras.layers.Rescaling(1.0 - dropout, name="dropout_scale")(features)
        features = keras.layers.Dropout(dropout, name="dropout")(features)
    return keras.layers.Dense(num_classes, name=layer_name("fc"))(features)
