"""PicoDet's neck, "LC-PAN" (PaddleDetection 2022), which fuses the backbone's maps across scales.

Layers are named after PaddleDetection's state dict, as the backbone's are after PaddleClas'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from pplcnet.models.blocks import (
    Names,
    activate,
    conv_bn,
    depthwise_bn,
    layer_name,
)
from pplcnet.models.boxes import PixelsAsFour

__all__ = ["build_neck"]

KERNEL = 5
HE_UNIFORM = "he_uniform"


def build_neck(maps: Sequence[Any], channels: int) -> list[Any]:
    """P3, P4, P5 and P6 (strides 8 to 64), (N, h, w, channels) each, from C3, C4 and C5.

    Args:
        maps: (N, h, w, C) each, of strides 8, 16 and 32; each side must be half the one
            before, so the input's sides must be multiples of 32.
    """
    t3, t4, t5 = (
        conv_bn(
            each, f"neck.conv_t.convs.{at}", channels=channels, kernel=1, initializer=HE_UNIFORM
        )
        for at, each in enumerate(maps)
    )
    i4 = _merge(_twice(t5, "neck.up.0"), t4, "neck.top_down_blocks.0", channels)
    p3 = _merge(_twice(i4, "neck.up.1"), t3, "neck.top_down_blocks.1", channels)
    p4 = _merge(_half(p3, "neck.downsamples.0"), i4, "neck.bottom_up_blocks.0", channels)
    p5 = _merge(_half(p4, "neck.downsamples.1"), t5, "neck.bottom_up_blocks.1", channels)
    tops = [_half(t5, "neck.first_top_conv"), _half(p5, "neck.second_top_conv")]
    return [p3, p4, p5, keras.layers.Add(name="neck_top")(tops)]


def _twice(features, path: str):
    """Upsample by 2: every pixel as 2x2."""
    return PixelsAsFour(name=layer_name(path))(features)


def _half(features, path: str):
    """Halve height and width, rounded up, by a depthwise-separable convolution."""
    features = depthwise_bn(
        features,
        path,
        kernel=KERNEL,
        strides=(2, 2),
        names=Names("dwconv", "bn1"),
        initializer=keras.initializers.HeUniform(),
    )
    channels = features.shape[-1]
    features = conv_bn(
        features,
        path,
        channels=channels,
        kernel=1,
        activation=None,
        names=Names("pwconv", "bn2"),
        initializer=HE_UNIFORM,
    )
    return activate(features, "hard_swish", f"{path}.pwconv")


def _merge(resampled, features, path: str, channels: int):
    """Merge two maps of the same size by two depthwise-separable blocks."""
    merged = keras.layers.Concatenate(name=layer_name(f"{path}.concat"))([resampled, features])
    for at, width in enumerate((2 * channels, channels)):
        merged = depthwise_bn(merged, f"{path}.{at}.dw_conv", kernel=KERNEL)
        merged = conv_bn(merged, f"{path}.{at}.pw_conv", channels=width, kernel=1)
    return merged
