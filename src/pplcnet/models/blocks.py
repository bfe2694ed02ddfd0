"""Layers shared by the networks of the catalog, channels last.

Every function takes the original's state-dict path (`blocks3.0.dw_conv`) and names its layers
after it with underscores (`blocks3_0_dw_conv_conv`, `blocks3_0_dw_conv_bn`), so that the layer
names are the map for weights.
"""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

import keras

from pplcnet.models.layers import BatchNormalization, DepthwiseConv2D, HardSigmoid, HardSwish

__all__ = [
    "PLAIN",
    "UNDERSCORED",
    "Activation",
    "Names",
    "Strides",
    "activate",
    "classify",
    "conv_bn",
    "depthwise_bn",
    "depthwise_conv",
    "layer_name",
    "pad_symmetrically",
    "pool",
    "scaled_channels",
    "squeeze_excite",
]

Strides = tuple[int, int]
Activation = Literal["hard_swish", "relu", "relu6"] | None

BATCHNORM_EPSILON = 1e-5
# With Keras' default of 0.99, the moving statistics lag far behind in a short training; 0.9 is the
# original's.
BATCHNORM_MOMENTUM = 0.9


class Names(NamedTuple):
    """The original's names for a convolution and the BatchNorm that follows it."""

    conv: str
    norm: str


PLAIN = Names("conv", "bn")
UNDERSCORED = Names("_conv", "_batch_norm")


def layer_name(path: str) -> str:
    """The name of the layer that holds the tensors under the state-dict `path`.

    Leading underscores of a part are dropped: a backend's scope may not start with one.
    """
    return "_".join(part.lstrip("_") for part in path.split("."))


def scaled_channels(channels: float, divisor: int = 8) -> int:
    """`channels` rounded to a multiple of `divisor`, never down by more than a tenth.

    The rounding of MobileNetV2 (Sandler et al. 2018), which most of these families use.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def pad_symmetrically(inputs, kernel: int, strides: Strides, path: str):
    """The inputs and the padding mode that together pad `(kernel - 1) // 2` on every side.

    At stride 1, "same" does exactly that. At stride 2 and an even size, it would pad one row less
    at the top than at the bottom, which shifts the image relative to the trained weights.
    """
    if kernel == 1 or strides == (1, 1):
        return inputs, "same"
    pad = (kernel - 1) // 2
    return keras.layers.ZeroPadding2D(pad, name=layer_name(f"{path}.pad"))(inputs), "valid"


def _normalize(features, path: str):
    return BatchNormalization(
        epsilon=BATCHNORM_EPSILON, momentum=BATCHNORM_MOMENTUM, name=layer_name(path)
    )(features)


def activate(features, activation: Activation, path: str):
    """Apply an activation as a separate layer; None applies nothing."""
    if activation is None:
        return features
    name = layer_name(f"{path}.{activation.replace('_', '')}")
    if activation == "hard_swish":
        return HardSwish(name=name)(features)
    return keras.layers.Activation(activation, name=name)(features)


def conv_bn(
    inputs,
    path: str,
    *,
    channels: int,
    kernel: int,
    strides: Strides = (1, 1),
    activation: Activation = "hard_swish",
    names: Names = PLAIN,
    initializer: str | keras.Initializer = "he_normal",
):
    """Convolution without bias, BatchNorm, activation: (N, H, W, C) to (N, H', W', channels)."""
    inputs, padding = pad_symmetrically(inputs, kernel, strides, path)
    features = keras.layers.Conv2D(
        channels,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=initializer,
        name=layer_name(f"{path}.{names.conv}"),
    )(inputs)
    return activate(_normalize(features, f"{path}.{names.norm}"), activation, path)


def depthwise_conv(
    inputs,
    path: str,
    *,
    kernel: int,
    strides: Strides,
    use_bias: bool = False,
    initializer: keras.Initializer | None = None,
):
    """A depthwise convolution, padded symmetrically; the number of channels is unchanged."""
    inputs, padding = pad_symmetrically(inputs, kernel, strides, path)
    return DepthwiseConv2D(
        kernel,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        # Keras computes a depthwise kernel's fan-in over all channels; this counts the k*k inputs
        # that one output actually has.
        depthwise_initializer=initializer
        or keras.initializers.RandomNormal(stddev=(2.0 / kernel**2) ** 0.5),
        name=layer_name(path),
    )(inputs)


def depthwise_bn(
    inputs,
    path: str,
    *,
    kernel: int,
    strides: Strides = (1, 1),
    activation: Activation = "hard_swish",
    names: Names = PLAIN,
    initializer: keras.Initializer | None = None,
):
    """Depthwise convolution without bias, BatchNorm, activation; same number of channels."""
    features = depthwise_conv(
        inputs,
        f"{path}.{names.conv}",
        kernel=kernel,
        strides=strides,
        initializer=initializer,
    )
    return activate(_normalize(features, f"{path}.{names.norm}"), activation, path)


def pool(features, path: str = "avg_pool"):
    """The mean over all positions: (N, H, W, C) to (N, 1, 1, C)."""
    return keras.layers.GlobalAveragePooling2D(keepdims=True, name=layer_name(path))(features)


def squeeze_excite(
    features,
    path: str,
    *,
    gate: keras.layers.Layer | None = None,
    names: tuple[str, str] = ("conv1", "conv2"),
):
    """Channel attention (Hu et al. 2018): pool, squeeze to a quarter, expand, gate, multiply.

    The inner width is `channels // 4`, not rounded, as in the originals. The gate is a hard
    sigmoid `clip(x / 6 + 0.5, 0, 1)` unless another layer is given.
    """
    channels = features.shape[-1]
    squeeze, expand = names
    scale = pool(features, f"{path}.pool")
    scale = keras.layers.Conv2D(
        channels // 4, 1, kernel_initializer="he_normal", name=layer_name(f"{path}.{squeeze}")
    )(scale)
    scale = keras.layers.Activation("relu", name=layer_name(f"{path}.relu"))(scale)
    scale = keras.layers.Conv2D(channels, 1, name=layer_name(f"{path}.{expand}"))(scale)
    gate = gate or HardSigmoid(name=layer_name(f"{path}.hardsigmoid"))
    return keras.layers.Multiply(name=layer_name(f"{path}.scale"))([features, gate(scale)])


def classify(
    features, path: str, *, num_classes: int, dropout: float = 0.0, scaled_dropout: bool = True
):
    """Pooled features (N, 1, 1, C) to the embedding (N, C) and the logits (N, num_classes).

    With `scaled_dropout`, dropout works as in the originals ("downscale_in_infer"): training drops
    without scaling up, inference multiplies by 1 - p, a factor that trained weights need. Scaling
    down by 1 - p before Keras' dropout, which scales up, is equivalent in both modes.
    """
    embedding = keras.layers.Flatten(name="flatten")(features)
    kept = embedding
    if dropout > 0:
        if scaled_dropout:
            kept = keras.layers.Rescaling(1.0 - dropout, name="dropout_scale")(kept)
        # The seed that Keras would draw itself. With PyTorch, a layer keeps its random state in a
        # variable, and so in the checkpoint, only if it is given a seed.
        seed = random.randint(1, 1_000_000_000)  # noqa: S311
        kept = keras.layers.Dropout(dropout, seed=seed, name="dropout")(kept)
    # float32 under every policy: 16-bit logits are too coarse for the softmax of small losses.
    head = keras.layers.Dense(num_classes, dtype="float32", name=layer_name(path))
    return embedding, head(kept)
