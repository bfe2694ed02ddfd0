"""Merges a trained network's parallel branches into one convolution (RepVGG, Ding et al. 2021)."""

from __future__ import annotations

import re

import keras
import numpy as np

from pplcnet.models import catalog
from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of

__all__ = ["has_parallel_branches", "to_deploy_form"]

BRANCH = "_list_"
IS_BRANCH = re.compile(rf"{BRANCH}\d+_(conv|bn)$")


def has_parallel_branches(model: keras.Model) -> bool:
    """Whether the model is in training form, with branches that can be merged."""
    return any(IS_BRANCH.search(layer.name) for layer in model.layers)


def to_deploy_form(model: keras.Model) -> keras.Model:
    """An equivalent model with fewer layers: parallel branches become one convolution.

    A convolution and its BatchNorm equal one convolution with bias; a smaller kernel equals a
    larger one padded with zeros; and a sum of convolutions equals one convolution with the summed
    kernels.

    Args:
        model: a network of the catalog, trained or not; it is not changed. A model without
            parallel branches is returned as it is.
    """
    if not has_parallel_branches(model):
        return model
    dropouts = [each.rate for each in model.layers if isinstance(each, keras.layers.Dropout)]
    deployed = build_model(
        catalog.find(model.name).name,
        num_classes=model.output.shape[-1],
        image_size=tuple(model.input.shape[1:3]),
        dropout=dropouts[0] if dropouts else 0.0,
        deploy=True,
    )
    trained = {layer.name: layer for layer in model.layers}
    for layer in deployed.layers:
        source = trained.get(layer.name)
        if isinstance(layer, keras.layers.DepthwiseConv2D) and source is None:
            kernel, bias = _merged(trained, layer)
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)
        elif layer.weights:
            for variable, value in zip(layer.weights, trained[layer.name].weights, strict=True):
                variable.assign(value)
    return deployed


def _merged(
    trained: dict[str, keras.layers.Layer], layer: keras.layers.DepthwiseConv2D
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (k, k, C, 1) and bias (C,) of `layer`, merged from the trained branches."""
    kernel = np.zeros(tuple(layer.kernel.shape), np.float64)
    bias = np.zeros(kernel.shape[2], np.float64)
    at = 0
    while f"{layer.name}{BRANCH}{at}_conv" in trained:
        convolution = trained[f"{layer.name}{BRANCH}{at}_conv"]
        norm = trained[f"{layer.name}{BRANCH}{at}_bn"]
        gamma, beta, mean, variance = (
            value_of(each).astype(np.float64)
            for each in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        )
        factor = gamma / np.sqrt(variance + norm.epsilon)
        branch = value_of(convolution.kernel) * factor[None, None, :, None]
        margin = (kernel.shape[0] - branch.shape[0]) // 2
        kernel[margin : kernel.shape[0] - margin, margin : kernel.shape[1] - margin] += branch
        bias += beta - mean * factor
        at += 1
    return kernel.astype(np.float32), bias.astype(np.float32)
