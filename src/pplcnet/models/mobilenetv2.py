"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) as PaddleClas defines it.

Widths are truncated, not rounded to multiples of eight, and the first block has an expansion
convolution although it does not expand.
"""

from __future__ import annotations

from typing import NamedTuple

import keras

from pplcnet.models.blocks import UNDERSCORED, classify, conv_bn, depthwise_bn, layer_name, pool
from pplcnet.models.catalog import Network

__all__ = ["OPTIONS", "STAGES", "build", "default_dropout"]


class Stage(NamedTuple):
    """One stage: expansion, output channels at scale 1, blocks, stride of the first."""

    expansion: int
    channels: int
    blocks: int
    stride: int


STEM_CHANNELS = 32
LAST_CHANNELS = 1280
STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
OPTIONS: frozenset[str] = frozenset()


def default_dropout(**_: object) -> float:
    """The original has none."""
    return 0.0


def build(inputs, row: Network, *, num_classes: int, dropout: float):
    """The stages' feature maps by name, the embedding (N, D) and the logits (N, num_classes)."""
    features = conv_bn(
        inputs,
        "conv1",
        channels=int(STEM_CHANNELS * row.scale),
        kernel=3,
        strides=(2, 2),
        activation="relu6",
        names=UNDERSCORED,
    )
    stages = {"conv1": features}
    for number, stage in enumerate(STAGES, start=2):
        for block in range(stage.blocks):
            inner = "_first_block" if block == 0 else f"conv{number}_{block + 1}"
            features = _block(
                features,
                f"conv{number}.{inner}",
                stage.expansion,
                channels=int(stage.channels * row.scale),
                stride=stage.stride if block == 0 else 1,
                has_shortcut=block > 0,
            )
        stages[f"conv{number}"] = features
    features = conv_bn(
        features,
        "conv9",
        channels=int(LAST_CHANNELS * max(row.scale, 1.0)),
        kernel=1,
        activation="relu6",
        names=UNDERSCORED,
    )
    embedding, logits = classify(pool(features), "out", num_classes=num_classes, dropout=dropout)
    return stages, embedding, logits


def _block(inputs, path: str, expansion: int, *, channels: int, stride: int, has_shortcut: bool):
    features = conv_bn(
        inputs,
        f"{path}._expand_conv",
        channels=inputs.shape[-1] * expansion,
        kernel=1,
        activation="relu6",
        names=UNDERSCORED,
    )
    features = depthwise_bn(
        features,
        f"{path}._bottleneck_conv",
        kernel=3,
        strides=(stride, stride),
        activation="relu6",
        names=UNDERSCORED,
    )
    features = conv_bn(
        features,
        f"{path}._linear_conv",
        channels=channels,
        kernel=1,
        activation=None,
        names=UNDERSCORED,
    )
    if has_shortcut:
        features = keras.layers.Add(name=layer_name(f"{path}.add"))([inputs, features])
    return features
