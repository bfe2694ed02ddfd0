"""Updates by one operator for each variable: those of Keras' own optimisers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pplcnet.models.layers import runs_on_tensorflow
from pplcnet.models.variables import value_of
from pplcnet.training.fused_updates import fused

SHARED = {
    "weight_decay": 0.3,
    "global_clipnorm": 0.5,
    "use_ema": True,
    "ema_momentum": 0.9,
    "learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 8),
}
ADAMW, SGD = keras.optimizers.AdamW, keras.optimizers.SGD
NESTEROV = {"momentum": 0.9, "nesterov": True}


def _trained(kind: type[keras.optimizers.Optimizer], fields: dict[str, Any]) -> list[np.ndarray]:
    """The variables and the optimiser's own after six steps."""
    generator = np.random.default_rng(0)
    shapes = ((3, 4), (4,))
    variables = [
        keras.Variable(generator.standard_normal(each), dtype="float32") for each in shapes
    ]
    optimizer = kind(**SHARED, **fields)
    optimizer.exclude_from_weight_decay(var_list=variables[1:])
    optimizer.build(variables)
    for _ in range(6):
        gradients = [generator.standard_normal(each).astype(np.float32) for each in shapes]
        optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients], variables)
    return [value_of(each) for each in (*variables, *optimizer.variables)]


@pytest.mark.parametrize(("kind", "fields"), [(ADAMW, {}), (SGD, NESTEROV)])
def test_updates_are_those_of_keras(
    kind: type[keras.optimizers.Optimizer], fields: dict[str, Any]
) -> None:
    found, wanted = _trained(fused(kind, devices=1), fields), _trained(kind, fields)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


def test_several_devices_and_other_backends_keep_keras_own() -> None:
    assert fused(ADAMW, devices=2) is ADAMW
    assert (fused(SGD, devices=1) is SGD) != runs_on_tensorflow()
