"""SGD and AdamW with one fused operator per variable, where Keras' optimisers take a dozen.

Keras builds each update from elementary operations, repeated for every variable, and on TensorFlow
wraps each in code for several devices. In a network of a hundred layers, that is most of a step's
operators and most of the time to the first step. TensorFlow has a fused operator for each formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from pplcnet.models.layers import runs_on_tensorflow

__all__ = ["fused"]

Kind = type[keras.optimizers.Optimizer]


def fused(kind: Kind, devices: int) -> Kind:
    """Keras' SGD or AdamW with the same updates, fused if TensorFlow trains on one device."""
    if not runs_on_tensorflow() or devices > 1:
        return kind
    return _fused_adamw(kind) if issubclass(kind, keras.optimizers.AdamW) else _fused_sgd(kind)


def _fused_adamw(kind: Kind) -> Kind:
    import tensorflow as tf

    class FusedAdamW(_on_one_device(kind)):  # type: ignore[misc]
        def _backend_update_step(
            self, grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
        ) -> None:
            step = tf.cast(self.iterations + 1, tf.float32)
            self._powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
            super()._backend_update_step(grads, trainable_variables, learning_rate)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            at = self._get_variable_index(variable)
            tf.raw_ops.ResourceApplyAdam(
                var=_handle(variable),
                m=_handle(self._momentums[at]),
                v=_handle(self._velocities[at]),
                beta1_power=self._powers[0],
                beta2_power=self._powers[1],
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    return FusedAdamW


def _fused_sgd(kind: Kind) -> Kind:
    import tensorflow as tf

    class FusedSGD(_on_one_device(kind)):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=_handle(variable),
                accum=_handle(self.momentums[self._get_variable_index(variable)]),
                lr=learning_rate,
                grad=gradient,
                momentum=self.momentum,
                use_nesterov=self.nesterov,
            )

    return FusedSGD


def _on_one_device(kind: Kind) -> Kind:
    """An optimiser that loops over the variables and computes once what they share."""
    import tensorflow as tf

    class OnOneDevice(kind):
        def _backend_update_step(
            self, grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
        ) -> None:
            rate = tf.cast(learning_rate, tf.float32)
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                self.update_step(gradient, variable, rate)

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            if self.weight_decay is None:
                return
            rate = tf.cast(self.learning_rate, tf.float32)
            for variable in variables:
                if self._use_weight_decay(variable):
                    variable.assign_sub(variable * self.weight_decay * rate)

        def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
            if not self.use_ema:
                return
            is_later = tf.cast(tf.not_equal(self.iterations, 0), tf.float32)
            kept = is_later * self.ema_momentum
            new = 1 - kept
            averages = self._model_variables_moving_average
            for variable, average in zip(trainable_variables, averages, strict=True):
                average.assign(kept * average + new * variable)

    return OnOneDevice


def _handle(variable: Any) -> Any:
    """The resource handle of a Keras or TensorFlow variable."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
