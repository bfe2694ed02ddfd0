"""Custom layers: faster BatchNorm and hard-swish, and layers that Keras or TensorFlow lacks.

BatchNorm and hard-swish compute the same as Keras' own. Both are memory-bound: Keras computes
BatchNorm's moments with separate operators, and TensorFlow keeps several copies of the activations
for hard-swish's gradient. Together they take half of a training step on a CPU
(`benchmarks/training_throughput.py` has the figures). On other backends, and in inference, these
two are Keras' own.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import keras

__all__ = [
    "BatchNormalization",
    "ChannelShuffle",
    "ChannelSplit",
    "DepthwiseConv2D",
    "HardSigmoid",
    "HardSwish",
    "runs_on_tensorflow",
    "supports_unequal_strides",
    "tracing_for_another_runtime",
    "uncompiled",
]


def runs_on_tensorflow() -> bool:
    """Whether TensorFlow is Keras' backend."""
    return keras.backend.backend() == "tensorflow"


@keras.saving.register_keras_serializable("pplcnet")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis; on TensorFlow, one fused operator."""

    def call(self, inputs, training=None, mask=None):
        """Like Keras' layer; on (N, H, W, C), training uses one operator."""
        is_fused = training and self.trainable and len(inputs.shape) == 4 and runs_on_tensorflow()
        if not is_fused or inputs.dtype == "float64":  # the operator does not support float64
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operator divides the variance by n - 1, Keras' moving statistics by n.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        variance *= tf.where(count > 1, (count - 1) / count, 1.0)
        keep, change = self.momentum, 1 - self.momentum
        self.moving_mean.assign(self.moving_mean * keep + mean * change)
        self.moving_variance.assign(self.moving_variance * keep + variance * change)
        return outputs


@keras.saving.register_keras_serializable("pplcnet")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` that supports unequal strides on every device.

    TensorFlow supports them in oneDNN only: not on macOS, ARM or GPUs, and not in float64.
    Elsewhere, a convolution without padding is computed with the greatest common divisor of the
    strides, and the positions in between are dropped.
    """

    def call(self, inputs):
        """Like Keras' layer."""
        height, width = self.strides
        if (
            height == width
            or self.padding != "valid"
            or self.data_format != "channels_last"
            or not runs_on_tensorflow()
            or _is_for_another_runtime.get()
            or supports_unequal_strides(self.compute_dtype)
        ):
            return super().call(inputs)
        common = math.gcd(height, width)
        outputs = keras.ops.depthwise_conv(
            inputs,
            self.kernel,
            strides=common,
            padding="valid",
            dilation_rate=self.dilation_rate,
            data_format="channels_last",
        )[:, :: height // common, :: width // common]
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


_is_for_another_runtime = ContextVar("_is_for_another_runtime", default=False)


@contextmanager
def tracing_for_another_runtime():
    """Trace unequal strides as one operator, even if TensorFlow cannot run it on this machine."""
    token = _is_for_another_runtime.set(True)
    try:
        yield
    finally:
        _is_for_another_runtime.reset(token)


@cache
def supports_unequal_strides(dtype: str) -> bool:
    """Whether TensorFlow computes and differentiates them on this machine, determined by trying."""
    import tensorflow as tf

    with tf.init_scope():
        if tf.config.list_logical_devices("GPU"):
            return False
        inputs, kernel = tf.zeros([1, 3, 3, 1], dtype), tf.zeros([2, 2, 1, 1], dtype)
        try:
            with tf.GradientTape() as tape:
                tape.watch([inputs, kernel])
                outputs = tf.nn.depthwise_conv2d(inputs, kernel, [1, 2, 1, 1], "VALID")
            tape.gradient(outputs, [inputs, kernel])
        except tf.errors.OpError:
            return False
        return True


_is_uncompiled = ContextVar("_is_uncompiled", default=False)


@contextmanager
def uncompiled():
    """Within, hard-swish in training mode is not compiled, which is faster for few calls."""
    token = _is_uncompiled.set(True)
    try:
        yield
    finally:
        _is_uncompiled.reset(token)


@keras.saving.register_keras_serializable("pplcnet")
class HardSwish(keras.layers.Layer):
    """`x * clip(x + 3, 0, 6) / 6`, element by element (Howard et al. 2019, MobileNetV3)."""

    def call(self, inputs, training=None):
        """The same shape as the inputs."""
        if training and runs_on_tensorflow() and not _is_uncompiled.get():
            return _fused_hard_swish()(inputs)
        return keras.activations.hard_silu(inputs)

    def compute_output_shape(self, input_shape):
        """The inputs' shape."""
        return input_shape


@cache
def _fused_hard_swish():
    """Hard-swish with its gradient, each compiled by XLA into one pass over memory."""
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def forward(values):
        return values * tf.clip_by_value(values + 3, 0, 6) * (1 / 6)

    @tf.function(jit_compile=True)
    def backward(values, upstream):
        none, whole = tf.zeros_like(values), tf.ones_like(values)
        inner = values * (1 / 3) + 0.5
        return upstream * tf.where(values >= 3, whole, tf.where(values <= -3, none, inner))

    @tf.custom_gradient
    def hard_swish(values):
        return forward(values), lambda upstream: backward(values, upstream)

    return hard_swish


@keras.saving.register_keras_serializable("pplcnet")
class HardSigmoid(keras.layers.Layer):
    """`clip(slope * x + offset, 0, 1)`; the networks differ in the slope."""

    def __init__(self, slope: float = 1 / 6, offset: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.slope = slope
        self.offset = offset

    def call(self, inputs):
        """The same shape as the inputs."""
        return keras.ops.clip(inputs * self.slope + self.offset, 0.0, 1.0)

    def compute_output_shape(self, input_shape):
        """The inputs' shape."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"slope": self.slope, "offset": self.offset}


@keras.saving.register_keras_serializable("pplcnet")
class ChannelSplit(keras.layers.Layer):
    """Splits (N, H, W, C) into the first and the second half of its channels."""

    def call(self, inputs):
        """Two tensors (N, H, W, C / 2)."""
        half = inputs.shape[-1] // 2
        return [inputs[..., :half], inputs[..., half:]]


@keras.saving.register_keras_serializable("pplcnet")
class ChannelShuffle(keras.layers.Layer):
    """Interleaves the two halves of the channels (Zhang et al. 2018, ShuffleNet)."""

    def call(self, inputs):
        """The same shape as the inputs."""
        channels = inputs.shape[-1]
        _, height, width, _ = keras.ops.shape(inputs)  # tensors if the size is not fixed
        halves = keras.ops.reshape(inputs, (-1, height, width, 2, channels // 2))
        interleaved = keras.ops.transpose(halves, (0, 1, 2, 4, 3))
        return keras.ops.reshape(interleaved, (-1, height, width, channels))
