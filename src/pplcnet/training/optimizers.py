"""Compiles a model with the recipe's optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

import keras

from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.task_training import Objective
from pplcnet.training.fused_updates import fused
from pplcnet.training.pretrained import stage_depths

__all__ = ["compile_model"]


def compile_model(
    model: keras.Model, recipe: Recipe, steps_per_epoch: int, objective: Objective
) -> None:
    """Give the model the recipe's optimiser and schedule, and the objective's loss and metrics.

    Args:
        recipe: with nothing left open (`recipe.adapting`).
    """
    accumulation = recipe.gradient_accumulation
    total = max(1, recipe.epochs * steps_per_epoch // accumulation)
    warmup = min(round((recipe.warmup_epochs or 0.0) * steps_per_epoch / accumulation), total - 1)
    schedule = {"cosine": _WarmupAndCosine, "poly": _WarmupAndPoly}[recipe.schedule]
    shared: dict[str, Any] = {
        "learning_rate": schedule(recipe.peak_learning_rate, warmup, total),
        "weight_decay": recipe.decay,
        # Each device clips its own share of the sum.
        "global_clipnorm": recipe.gradient_clip / recipe.devices or None,
        "use_ema": recipe.ema > 0,
        "ema_momentum": recipe.ema or 0.99,
        "gradient_accumulation_steps": accumulation if accumulation > 1 else None,
    }
    kind: type[keras.optimizers.Optimizer] = keras.optimizers.AdamW
    if recipe.optimizer == "sgd":
        kind, shared = keras.optimizers.SGD, shared | {"momentum": 0.9, "nesterov": True}
    kind = fused(kind, recipe.devices)
    if recipe.ema and recipe.ema_warmup:
        kind = _with_rising_average(kind)
    factors = _factors(model, recipe)
    optimizer = _with_factors(kind, factors)(**shared) if factors else kind(**shared)
    if recipe.decay:
        # BatchNorm's scale and shift and all biases are vectors; kernels are not.
        vectors = [each for each in model.trainable_variables if len(each.shape) == 1]
        optimizer.exclude_from_weight_decay(var_list=vectors)
    model.compile(
        optimizer=optimizer,
        loss=objective.loss,
        metrics=list(objective.metrics) or None,
        # XLA makes TensorFlow's CPU training several times slower; JAX needs it.
        jit_compile=keras.backend.backend() == "jax",
    )
    # With 16-bit floats, Keras wraps our optimiser in one that scales the loss.
    model.optimizer.build(model.trainable_variables)


def _with_rising_average(
    kind: type[keras.optimizers.Optimizer],
) -> type[keras.optimizers.Optimizer]:
    """The optimiser with a moving average whose decay rises to `ema_momentum`.

    At step t (from 0) it is at most (1 + t) / (10 + t), as in TensorFlow and PaddleDetection.
    Otherwise, the average would still contain the initial weights after a short training.
    """

    class Rising(kind):
        ema_momentum: Any

        def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
            step = keras.ops.cast(self.iterations, "float32")
            whole = self.ema_momentum
            self.ema_momentum = keras.ops.minimum((1 + step) / (10 + step), whole)
            try:
                super()._update_model_variables_moving_average(trainable_variables)
            finally:
                self.ema_momentum = whole

    return Rising


class _WarmupAndCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then half a cosine to 0, like Keras' CosineDecay.

    Keras evaluates the rate once for every variable with weight decay, and CosineDecay branches.
    That many conditionals in a step's graph took a fifth of the time of a small training.
    """

    start = 0.0
    """The first step's fraction of the peak rate, if there is a warm-up."""

    def __init__(self, peak: float, warmup: int, total: int) -> None:
        super().__init__()
        self._peak, self._warmup, self._decay = peak, warmup, total - warmup

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        step = ops.cast(step, "float32")
        gone = ops.minimum(step - self._warmup, self._decay) / self._decay
        falling = self._peak * self.left(gone)
        if not self._warmup:
            return falling
        risen = self._peak * self.start + self._peak * (1 - self.start) * (step / self._warmup)
        return ops.where(step < self._warmup, risen, falling)

    def left(self, gone: Any) -> Any:
        """The part of the peak that is left after a part of the steps that follow the warm-up."""
        return 0.5 * (1 + keras.ops.cos(math.pi * gone))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self._peak, "warmup": self._warmup, "total": self._warmup + self._decay}


class _WarmupAndPoly(_WarmupAndCosine):
    """The same with polynomial decay of power 0.9 after the warm-up, as PaddleSeg trains."""

    start = 0.002
    """PaddleSeg's rate starts at 1e-5 and rises to 5e-3."""

    def left(self, gone: Any) -> Any:
        """The part of the peak that is left after a part of the steps that follow the warm-up."""
        return keras.ops.power(keras.ops.maximum(1 - gone, 0.0), 0.9)


def _factors(model: keras.Model, recipe: Recipe) -> list[float]:
    """The learning-rate factor of each trainable variable; empty if all have the same rate."""
    if recipe.layer_decay == 1:
        return []
    factor_of: dict[int, float] = {}
    # A second network that is trained beside the first is a layer of its model.
    peers = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    for network in (model, *peers):
        stages, depths = stage_depths(recipe.model, network)
        for layer in network.layers:
            factor = recipe.layer_decay ** (len(stages) - depths[layer.name])
            factor_of |= {id(variable): factor for variable in layer.trainable_variables}
    return [factor_of[id(variable)] for variable in model.trainable_variables]


def _with_factors(
    kind: type[keras.optimizers.Optimizer], factors: list[float]
) -> type[keras.optimizers.Optimizer]:
    """The optimiser with a separate learning rate for every variable."""

    class Layerwise(kind):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            own = learning_rate * factors[self._get_variable_index(variable)]
            super().update_step(gradient, variable, own)

        def _apply_weight_decay(self, variables: Any) -> None:
            # Decoupled decay scales with the variable's own learning rate (Loshchilov and Hutter,
            # arXiv 1711.05101): a variable that hardly learns must not decay to 0.
            if self.weight_decay is None:
                return
            for variable in variables:
                if self._use_weight_decay(variable):
                    rate = keras.ops.cast(self.learning_rate, variable.dtype)
                    factor = factors[self._get_variable_index(variable)] * self.weight_decay
                    variable.assign(variable - variable * factor * rate)

    return Layerwise
