"""Layers of our own: faster BatchNorm and hard-swish, and what Keras does not have.

BatchNorm and hard-swish compute what Keras' own do. Both are bound by memory: Keras computes
BatchNorm's moments with separate operators, and TensorFlow keeps several copies of the activations
for hard-swish's gradient. Together they are half of a training step on a CPU
(`benchmarks/training_throughput.py` has the figures). On other backends, and in inference, these
two are Keras' own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import keras

__all__ = ["BatchNormalization", "ChannelShuffle", "ChannelSplit", "HardSigmoid", "HardSwish"]


def _is_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


@keras.saving.register_keras_serializable("pplcnet")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis, on TensorFlow by its fused operator."""

    def call(self, inputs, training=None, mask=None):
        """As Keras' layer; trains on (N, H, W, C) through one operator."""
        if not (training and self.trainable and len(inputs.shape) == 4 and _is_tensorflow()):
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
        # The operator answers the variance over n - 1; Keras' moving statistics take that over n.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        variance *= tf.where(count > 1, (count - 1) / count, 1.0)
        keep, change = self.momentum, 1 - self.momentum
        self.moving_mean.assign(self.moving_mean * keep + mean * change)
        self.moving_variance.assign(self.moving_variance * keep + variance * change)
        return outputs


@keras.saving.register_keras_serializable("pplcnet")
class HardSwish(keras.layers.Layer):
    """`x * clip(x + 3, 0, 6) / 6`, element by element (Howard et al. 2019, MobileNetV3)."""

    def call(self, inputs, training=None):
        """The same shape as the inputs."""
        if training and _is_tensorflow():
            return _fused_hard_swish()(inputs)
        return keras.activations.hard_silu(inputs)

    def compute_output_shape(self, input_shape):
        """The inputs' shape."""
        return input_shape


@cache
def _fused_hard_swish():
    """Forward and gradient, each compiled by XLA to one pass over memory."""
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
        """What the constructor takes."""
        return super().get_config() | {"slope": self.slope, "offset": self.offset}


@keras.saving.register_keras_serializable("pplcnet")
class ChannelSplit(keras.layers.Layer):
    """(N, H, W, C) to its first and its second half of the channels."""

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
        _, height, width, _ = keras.ops.shape(inputs)  # tensors where the size is not fixed
        halves = keras.ops.reshape(inputs, (-1, height, width, 2, channels // 2))
        interleaved = keras.ops.transpose(halves, (0, 1, 2, 4, 3))
        return keras.ops.reshape(interleaved, (-1, height, width, channels))
