"""Layers that the networks of the catalog share, channels last.

Every function takes the original's state-dict path (`blocks3.0.dw_conv`) and names its layers
after it with underscores (`blocks3_0_dw_conv_conv`, `blocks3_0_dw_conv_bn`), so that the layer
names are the map for weights.
"""

from __future__ import annotations

import keras

from pplcnet.models.layers import BatchNormalization, HardSwish

__all__ = ["Strides", "conv_bn", "depthwise_bn", "layer_name", "scaled_channels", "squeeze_excite"]

Strides = tuple[int, int]

BATCHNORM_EPSILON = 1e-5
# Keras' default of 0.99 leaves the moving statistics of a short training far behind; 0.9 is the
# original's.
BATCHNORM_MOMENTUM = 0.9


def layer_name(path: str) -> str:
    """The name of the layer that holds the tensors under the state-dict `path`."""
    return path.replace(".", "_")


def scaled_channels(channels: float, divisor: int = 8) -> int:
    """`channels` rounded to a multiple of `divisor`, never falling by more than a tenth.

    The rounding of MobileNetV2 (Sandler et al. 2018), which PP-LCNet uses for every width.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _symmetric_padding(inputs, kernel: int, strides: Strides, path: str):
    """The inputs and the padding mode that together pad `(kernel - 1) // 2` on every side.

    At stride 1 "same" does that by itself. At stride 2 it would put one row less at the top than
    at the bottom whenever the size is even, which shifts the picture under trained weights.
    """
    if kernel == 1 or strides == (1, 1):
        return inputs, "same"
    pad = (kernel - 1) // 2
    return keras.layers.ZeroPadding2D(pad, name=layer_name(f"{path}.pad"))(inputs), "valid"


def _batch_norm(path: str):
    return BatchNormalization(
        epsilon=BATCHNORM_EPSILON, momentum=BATCHNORM_MOMENTUM, name=layer_name(f"{path}.bn")
    )


def conv_bn(inputs, path: str, *, channels: int, kernel: int, strides: Strides = (1, 1)):
    """Convolution without bias, BatchNorm, HardSwish: (N, H, W, C) to (N, H', W', channels)."""
    inputs, padding = _symmetric_padding(inputs, kernel, strides, path)
    features = keras.layers.Conv2D(
        channels,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=layer_name(f"{path}.conv"),
    )(inputs)
    features = _batch_norm(path)(features)
    return HardSwish(name=layer_name(f"{path}.hardswish"))(features)


def depthwise_bn(inputs, path: str, *, kernel: int, strides: Strides = (1, 1)):
    """Depthwise convolution without bias, BatchNorm, HardSwish; the channels stay."""
    inputs, padding = _symmetric_padding(inputs, kernel, strides, path)
    features = keras.layers.DepthwiseConv2D(
        kernel,
        strides=strides,
        padding=padding,
        use_bias=False,
        # Keras counts a depthwise kernel's fan-in over all channels; this counts the k*k inputs
        # that one output really has.
        depthwise_initializer=keras.initializers.RandomNormal(stddev=(2.0 / kernel**2) ** 0.5),
        name=layer_name(f"{path}.conv"),
    )(inputs)
    features = _batch_norm(path)(features)
    return HardSwish(name=layer_name(f"{path}.hardswish"))(features)


def squeeze_excite(features, path: str, *, reduction: int = 4):
    """Channel attention (Hu et al. 2018) with a hard-sigmoid gate `clip(x / 6 + 0.5, 0, 1)`.

    The inner width is `channels // reduction`, not rounded, as in the original.
    """
    channels = features.shape[-1]
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=layer_name(f"{path}.pool"))(
        features
    )
    gate = keras.layers.Conv2D(
        channels // reduction, 1, kernel_initializer="he_normal", name=layer_name(f"{path}.conv1")
    )(gate)
    gate = keras.layers.Activation("relu", name=layer_name(f"{path}.relu"))(gate)
    gate = keras.layers.Conv2D(channels, 1, name=layer_name(f"{path}.conv2"))(gate)
    gate = keras.layers.Activation("hard_sigmoid", name=layer_name(f"{path}.hardsigmoid"))(gate)
    return keras.layers.Multiply(name=layer_name(f"{path}.scale"))([features, gate])
