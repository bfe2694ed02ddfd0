"""The options of `build_model` for the network that a weights file belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.models import catalog
from pplcnet.models.build import normalized_strides
from pplcnet.weights.files import WeightsFile
from pplcnet.weights.keras_configs import STRIDED, saved_options

__all__ = ["check_strides", "network_options"]

_CLASSIFIERS = tuple(
    f"{layer}.{part}"
    for layer in ("fc", "out", "_fc", "fc_1")
    for part in ("weight", "kernel")
)  # fmt: skip
DETECTOR_CLASSES = "head.head_cls0.bias"
SEGMENTER_CLASSES = "head.0.logits.weight"
SEGMENTER_SIZE = (512, 1024)
SEGMENTER_SIZES = {"mobileseg_portrait_mobilenetv3_large_x1_0": (144, 256)}
"""(height, width) that PaddleSeg's published weights are for, if a file does not state it."""


def network_options(name: str, weights: WeightsFile) -> dict[str, Any]:
    """Options of `build_model`, as far as the file states them.

    "num_classes" is there if the file has a classifier, "image_size" and "dropout" if it states
    them. For PP-LCNet, bare tensors tell whether there is a last convolution and whether it has a
    bias; their strides are assumed to be the original's.
    """
    if weights.options is not None:
        return dict(weights.options)
    saved = weights.saved
    options = saved_options(name, saved.layers) if saved is not None else {}
    tensors = weights.tensors
    if DETECTOR_CLASSES in tensors:
        return {"num_classes": len(tensors[DETECTOR_CLASSES])}
    if SEGMENTER_CLASSES in tensors:
        size = SEGMENTER_SIZES.get(name, SEGMENTER_SIZE)
        return {"num_classes": len(tensors[SEGMENTER_CLASSES]), "image_size": size}
    classifier = next((tensors[key] for key in _CLASSIFIERS if key in tensors), None)
    if classifier is not None and classifier.ndim == 2:
        options["num_classes"] = int(classifier.shape[1])
    if saved is None and catalog.backbone_of(name).family == "pplcnet":
        has_last = any(key.startswith("last_conv.") for key in tensors)
        if classifier is not None:
            options["last_conv"] = has_last
        if "last_conv.bias" in tensors:
            options["last_conv_bias"] = True
        if weights.kind == "timm":
            options["dropout"] = 0.0
    return options


def check_strides(model: keras.Model, options: Mapping[str, Any] | None, source: str) -> None:
    """WeightsError if the file's network has other strides, which tensor shapes do not reveal."""
    given = (options or {}).get("strides")
    if given is None:
        return
    wanted = normalized_strides(given)
    has = tuple(tuple(int(side) for side in model.get_layer(name).strides) for name in STRIDED)
    if has != wanted:
        raise WeightsError(
            f"{source} does not fit {model.name}: its strides are {_shown(wanted)}, the model has "
            f"{_shown(has)}; build it with strides={_shown(wanted)}."
        )


def _shown(strides: tuple[tuple[int, ...], ...]) -> str:
    return str([int(np.max(pair)) if len(set(pair)) == 1 else pair for pair in strides])
