"""Initial weights with which a network from scratch learns within a few hundred steps.

Deep networks without shortcuts are hard to train at first: the gradient in the first layers
explodes with depth (Yang et al. 2019, arXiv 1902.08129, for networks with BatchNorm). Where
BatchNorm's outputs are small, hard-swish is nearly linear, and a nearly linear deep network is
much easier to train (Pennington et al. 2017, arXiv 1711.04735).
"""

from __future__ import annotations

import keras
import numpy as np

from pplcnet.models.layers import HardSwish

__all__ = ["soften"]


def soften(model: keras.Model, scale: float) -> None:
    """Set BatchNorm's scale (gamma) to `scale` wherever hard-swish follows, and the head to 0.

    Before other activations the scale has no effect: the next BatchNorm undoes it. A head of zeros
    makes all classes equally likely at first.
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
