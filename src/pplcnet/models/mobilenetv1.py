"""MobileNetV1 (Howard et al. 2017, arXiv 1704.04861) as PaddleClas defines it."""

from __future__ import annotations

from pplcnet.models.blocks import classify, conv_bn, depthwise_bn, pool
from pplcnet.models.catalog import Network

__all__ = ["BLOCKS", "OPTIONS", "build", "default_dropout"]

STEM_CHANNELS = 32
# Output channels at scale 1, and the stride, of every depthwise-separable block.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
OPTIONS: frozenset[str] = frozenset()


def default_dropout(**_: object) -> float:
    """The original has none."""
    return 0.0


def build(inputs, row: Network, *, num_classes: int, dropout: float):
    """Feature maps by name, the embedding (N, D) and the logits (N, num_classes)."""
    features = conv_bn(
        inputs,
        "conv",
        channels=int(STEM_CHANNELS * row.scale),
        kernel=3,
        strides=(2, 2),
        activation="relu",
    )
    stages = {"conv": features}
    for at, (channels, stride) in enumerate(BLOCKS):
        features = depthwise_bn(
            features,
            f"blocks.{at}.depthwise_conv",
            kernel=3,
            strides=(stride, stride),
            activation="relu",
        )
        features = conv_bn(
            features,
            f"blocks.{at}.pointwise_conv",
            channels=int(channels * row.scale),
            kernel=1,
            activation="relu",
        )
        stages[f"blocks.{at}"] = features
    embedding, logits = classify(pool(features), "fc", num_classes=num_classes, dropout=dropout)
    return stages, embedding, logits
