"""ShuffleNetV2 (Ma et al. 2018, arXiv 1807.11164) as PaddleClas defines it."""

from __future__ import annotations

from functools import partial

import keras

from pplcnet.models.blocks import UNDERSCORED, classify, layer_name, pool
from pplcnet.models.blocks import conv_bn as _conv_bn
from pplcnet.models.blocks import depthwise_bn as _depthwise_bn
from pplcnet.models.catalog import Network
from pplcnet.models.layers import ChannelShuffle, ChannelSplit

__all__ = ["CHANNELS", "OPTIONS", "build", "default_dropout"]

conv_bn = partial(_conv_bn, kernel=1, activation="relu", names=UNDERSCORED)
depthwise_bn = partial(_depthwise_bn, kernel=3, activation=None, names=UNDERSCORED)

STEM_CHANNELS = 24
# From scale to the channels of the three stages and of the last convolution.
CHANNELS: dict[float, tuple[int, int, int, int]] = {
    0.25: (24, 48, 96, 512),
    0.33: (32, 64, 128, 512),
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (224, 488, 976, 2048),
}
BLOCKS = (4, 8, 4)
OPTIONS: frozenset[str] = frozenset()


def default_dropout(**_: object) -> float:
    """The original has none."""
    return 0.0


def build(inputs, row: Network, *, num_classes: int, dropout: float):
    """The stages' feature maps by name, the embedding (N, D) and the logits (N, num_classes)."""
    features = conv_bn(inputs, "_conv1", channels=STEM_CHANNELS, kernel=3, strides=(2, 2))
    # The features are not negative after ReLU, so padding with zeros changes no maximum.
    features = keras.layers.ZeroPadding2D(1, name="max_pool_pad")(features)
    features = keras.layers.MaxPooling2D(3, strides=2, name="max_pool")(features)
    stages = {"conv1": features}
    *widths, last = CHANNELS[row.scale]
    for stage, (channels, blocks) in enumerate(zip(widths, BLOCKS, strict=True), start=2):
        features = _downsampling_block(features, f"{stage}_1", channels // 2)
        for block in range(2, blocks + 1):
            features = _block(features, f"{stage}_{block}", channels // 2)
        stages[str(stage)] = features
    features = conv_bn(features, "_last_conv", channels=last)
    embedding, logits = classify(pool(features), "_fc", num_classes=num_classes, dropout=dropout)
    return stages, embedding, logits


def _downsampling_block(inputs, path: str, channels: int):
    """Both branches take all channels and downsample."""
    left = depthwise_bn(inputs, f"{path}._conv_dw_1", strides=(2, 2))
    left = conv_bn(left, f"{path}._conv_linear_1", channels=channels)
    right = conv_bn(inputs, f"{path}._conv_pw_2", channels=channels)
    right = depthwise_bn(right, f"{path}._conv_dw_2", strides=(2, 2))
    right = conv_bn(right, f"{path}._conv_linear_2", channels=channels)
    return _join(left, right, path)


def _block(inputs, path: str, channels: int):
    """One half of the channels passes unchanged."""
    left, right = ChannelSplit(name=layer_name(f"{path}.split"))(inputs)
    right = conv_bn(right, f"{path}._conv_pw", channels=channels)
    right = depthwise_bn(right, f"{path}._conv_dw")
    right = conv_bn(right, f"{path}._conv_linear", channels=channels)
    return _join(left, right, path)


def _join(left, right, path: str):
    joined = keras.layers.Concatenate(name=layer_name(f"{path}.concat"))([left, right])
    return ChannelShuffle(name=layer_name(f"{path}.shuffle"))(joined)
