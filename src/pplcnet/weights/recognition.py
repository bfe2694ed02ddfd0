"""Checks without Keras, by counting numbers, whether a file can be the weights of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.models import catalog
from pplcnet.weights.detection_names import is_detector, to_layer_names
from pplcnet.weights.paddle import read_pdparams
from pplcnet.weights.safetensors_files import read_safetensors

__all__ = ["fault_of"]

# timm's kernel is (classes, inputs), the others are (inputs, classes).
TIMM_CLASSIFIER = "classifier.weight"
CLASSIFIERS = ("fc.weight", "out.weight", "_fc.weight", "fc_1.weight", TIMM_CLASSIFIER)
OFFICIAL_CLASSES = 1000
# Moving statistics come on top of the trainable parameters; neighbours in the catalog differ more.
BACKBONE_RATIO = (1.0, 1.3)
# A file with folded BatchNorm has slightly fewer numbers than the parameters.
DETECTOR_RATIO = (0.97, 1.3)


def fault_of(path: Path, network: str) -> str:
    """What is wrong with a file as weights of `network`; "" if nothing is."""
    try:
        tensors = (read_safetensors if path.suffix == ".safetensors" else read_pdparams)(path)
    except WeightsError as error:
        return f"it is not a complete weights file: {str(error).removeprefix(f'{path}: ')[:200]}"
    if network in catalog.DETECTORS:
        return _fault_of_detector(tensors, network)
    key = next((each for each in CLASSIFIERS if each in tensors), None)
    if key is None or tensors[key].ndim != 2:
        return "it has no classifier"
    inputs, classes = tensors[key].shape
    if key == TIMM_CLASSIFIER:
        inputs, classes = classes, inputs
    found = sum(math.prod(each.shape) for each in tensors.values()) - (inputs + 1) * classes
    wanted = catalog.find(network).parameters - (inputs + 1) * OFFICIAL_CLASSES
    low, high = BACKBONE_RATIO
    if not low * wanted <= found <= high * wanted:
        return f"it has {found:,} numbers before the classifier, {network} has {wanted:,}"
    return _fault_of_numbers(tensors)


def _fault_of_detector(tensors: Mapping[str, np.ndarray], network: str) -> str:
    if not is_detector(tensors):
        return "it holds no detector"
    found = sum(math.prod(each.shape) for each in to_layer_names(tensors).values())
    wanted = catalog.find_detector(network).parameters
    low, high = DETECTOR_RATIO
    if not low * wanted <= found <= high * wanted:
        return f"it has {found:,} numbers, {network} has {wanted:,}"
    return _fault_of_numbers(tensors)


def _fault_of_numbers(tensors: Mapping[str, np.ndarray]) -> str:
    is_finite = all(np.isfinite(each).all() for each in tensors.values())
    return "" if is_finite else "it holds NaN or infinity"
