"""PP-LCNetV2 (PaddleClas 2022): the network definition, in its training and deployed forms.

ReLU throughout. The third stage splits its pointwise convolution in two and has squeeze-and-excite
(with a plain sigmoid, whatever its name in the original); the third and fourth stage train three
parallel depthwise convolutions of 5x5, 3x3 and 1x1, which are one 5x5 convolution once trained
(RepVGG, Ding et al. 2021); the fourth has shortcuts.
"""

from __future__ import annotations

from typing import NamedTuple

import keras

from pplcnet.models.blocks import (
    activate,
    classify,
    conv_bn,
    depthwise_bn,
    depthwise_conv,
    layer_name,
    pool,
    scaled_channels,
    squeeze_excite,
)
from pplcnet.models.catalog import Network

__all__ = ["OPTIONS", "STAGES", "build", "default_dropout"]


class Stage(NamedTuple):
    """One stage: output channels at scale 1, kernel, and the options of its blocks."""

    channels: int
    kernel: int
    has_parallel_branches: bool = False
    has_split_pointwise: bool = False
    has_squeeze_excite: bool = False
    has_shortcut: bool = False


STAGES = (
    Stage(128, 3),
    Stage(256, 3),
    Stage(512, 5, has_parallel_branches=True, has_split_pointwise=True, has_squeeze_excite=True),
    Stage(1024, 5, has_parallel_branches=True, has_shortcut=True),
)
DEPTHS = {"small": (2, 2, 4, 2), "base": (2, 2, 6, 2), "large": (2, 2, 8, 2)}
LAST_CHANNELS = 1280
OPTIONS = frozenset({"deploy"})


def default_dropout(**_: object) -> float:
    """The original's rate."""
    return 0.2


def build(inputs, row: Network, *, num_classes: int, dropout: float, deploy: bool = False):
    """The stages' feature maps by name, the embedding (N, 1280) and the logits (N, num_classes).

    `deploy` builds one depthwise convolution with bias where training has parallel branches.
    """
    features = conv_bn(
        inputs,
        "stem.0",
        channels=scaled_channels(32 * row.scale),
        kernel=3,
        strides=(2, 2),
        activation="relu",
    )
    features = _block(features, "stem.1", Stage(64, 3), row.scale, 1, deploy)
    stages = {"stem": features}
    for at, (stage, depth) in enumerate(zip(STAGES, DEPTHS[row.variant], strict=True)):
        for block in range(depth):
            stride = 2 if block == 0 else 1
            path = f"stages.{at}.{block}"
            features = _block(features, path, stage, row.scale, stride, deploy)
        stages[f"stages.{at}"] = features
    pooled = keras.layers.Conv2D(
        LAST_CHANNELS, 1, use_bias=False, kernel_initializer="he_normal", name="last_conv"
    )(pool(features))
    pooled = activate(pooled, "relu", "last_conv")
    embedding, logits = classify(pooled, "fc", num_classes=num_classes, dropout=dropout)
    return stages, embedding, logits


def _block(inputs, path: str, stage: Stage, scale: float, stride: int, deploy: bool):
    channels, strides = scaled_channels(stage.channels * scale), (stride, stride)
    if not stage.has_parallel_branches:
        features = depthwise_bn(
            inputs, f"{path}.dw_conv", kernel=stage.kernel, strides=strides, activation="relu"
        )
    else:
        if deploy:
            features = depthwise_conv(
                inputs, f"{path}.dw_conv", kernel=stage.kernel, strides=strides, use_bias=True
            )
        else:
            features = _parallel_branches(inputs, path, stage.kernel, strides)
        features = activate(features, "relu", f"{path}.dw_conv")
    if stage.has_squeeze_excite:
        gate = keras.layers.Activation("sigmoid", name=layer_name(f"{path}.se.sigmoid"))
        features = squeeze_excite(features, f"{path}.se", gate=gate)
    pointwise = {"pw_conv": channels}
    if stage.has_split_pointwise:
        pointwise = {"pw_conv_1": channels // 2, "pw_conv_2": channels}
    for name, width in pointwise.items():
        features = conv_bn(features, f"{path}.{name}", channels=width, kernel=1, activation="relu")
    if stage.has_shortcut and stride == 1 and inputs.shape[-1] == channels:
        features = keras.layers.Add(name=layer_name(f"{path}.add"))([inputs, features])
    return features


def _parallel_branches(inputs, path: str, kernel: int, strides: tuple[int, int]):
    # A 1x1 branch would skip every second pixel at stride 2; the original omits it there.
    sizes = [size for size in range(kernel, 0, -2) if size > 1 or strides == (1, 1)]
    branches = [
        depthwise_bn(
            inputs, f"{path}.dw_conv_list.{at}", kernel=size, strides=strides, activation=None
        )
        for at, size in enumerate(sizes)
    ]
    return keras.layers.Add(name=layer_name(f"{path}.dw_conv_sum"))(branches)
