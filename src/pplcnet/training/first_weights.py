"""What a network from scratch begins with, so that it learns in some hundred steps.

Deep networks that have no shortcuts are hard to train at first: the gradient of the first layers
explodes with the depth (Yang et al. 2019, arXiv 1902.08129, for networks with BatchNorm). Where
BatchNorm's outputs are small, hard-swish is nearly linear, and a deep network that is nearly linear
is much easier to train (Pennington et al. 2017, arXiv 1711.04735).
"""

from __future__ import annotations

import keras
import numpy as np

from pplcnet.models.layers import HardSwish

__all__ = ["soften"]


def soften(model: keras.Model, scale: float) -> None:
    """Set BatchNorm's scale (gamma) to `scale` wherever hard-swish follows, and the head to 0.

    After other activations the scale means nothing: BatchNorm follows again, and undoes it. A head
    of zeros makes all classes equally likely at first.
    """
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        consumers = [node.operation for node in layer._outbound_nodes]
        if consumers and all(isinstance(each, HardSwish) for each in consumers):
            layer.gamma.assign(np.full(layer.gamma.shape, scale, np.float32))
    head = model.layers[-1]
    if isinstance(head, keras.layers.Dense):
        head.kernel.assign(np.zeros(head.kernel.shape, np.float32))
