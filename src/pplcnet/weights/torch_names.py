"""Translates PP-LCNet's tensors from timm's and transformers' names to the original's state dict.

Both keep the original's layouts, except that fully connected weights are (out, in), and number the
blocks of a stage differently. timm's own training also has a bias in the last convolution and no
factor before the classifier.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from pplcnet.errors import WeightsError

__all__ = ["is_timm", "is_transformers", "to_original_names"]

_NORM_PARTS = {
    "weight": "weight",
    "bias": "bias",
    "running_mean": "_mean",
    "running_var": "_variance",
}
# timm splits the 256-channel stage in two. By timm's stage: (stage, number of blocks before it).
_TIMM_STAGES = (
    ("blocks2", 0),
    ("blocks3", 0),
    ("blocks4", 0),
    ("blocks5", 0),
    ("blocks5", 2),
    ("blocks6", 0),
)
_TIMM_INSIDE = {
    "conv_dw": "dw_conv.conv",
    "bn1": "dw_conv.bn",
    "se.conv_reduce": "se.conv1",
    "se.conv_expand": "se.conv2",
    "conv_pw": "pw_conv.conv",
    "bn2": "pw_conv.bn",
}
_TIMM_OUTSIDE = {
    "conv_stem": "conv1.conv",
    "bn1": "conv1.bn",
    "conv_head": "last_conv",
    "classifier": "fc",
}
_TRANSFORMERS_INSIDE = {
    "depthwise_convolution.convolution": "dw_conv.conv",
    "depthwise_convolution.normalization": "dw_conv.bn",
    "squeeze_excitation_module.convolutions.0": "se.conv1",
    "squeeze_excitation_module.convolutions.2": "se.conv2",
    "pointwise_convolution.convolution": "pw_conv.conv",
    "pointwise_convolution.normalization": "pw_conv.bn",
}
_TRANSFORMERS_OUTSIDE = {
    "encoder.convolution.convolution": "conv1.conv",
    "encoder.convolution.normalization": "conv1.bn",
    "last_convolution": "last_conv",
    "head": "fc",
}


def is_timm(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether these are timm's names."""
    return "conv_stem.weight" in tensors


def is_transformers(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether these are transformers' names."""
    return "encoder.convolution.convolution.weight" in tensors


def to_original_names(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same tensors under the original's names; WeightsError for an unknown name."""
    path_of = _timm_path if is_timm(tensors) else _transformers_path
    renamed = {}
    for key, tensor in tensors.items():
        prefix, _, part = key.rpartition(".")
        if part == "num_batches_tracked":  # a step counter that nothing depends on
            continue
        path = _path(key, prefix, path_of)
        is_norm = path.endswith("bn")
        original_part = _NORM_PARTS.get(part) if is_norm else part
        if original_part is None:
            raise WeightsError(f"the tensor {key!r} is not part of this network.")
        transposed = path == "fc" and part == "weight" and tensor.ndim == 2
        renamed[f"{path}.{original_part}"] = tensor.T if transposed else tensor
    return renamed


def _path(key: str, prefix: str, path_of: Callable[[str], str | None]) -> str:
    path = path_of(prefix)
    if path is None:
        raise WeightsError(f"the tensor {key!r} is not part of this network.")
    return path


def _timm_path(prefix: str) -> str | None:
    match = re.fullmatch(r"blocks\.(\d)\.(\d)\.(.+)", prefix)
    if match is None:
        return _TIMM_OUTSIDE.get(prefix)
    stage, block, inside = int(match[1]), int(match[2]), _TIMM_INSIDE.get(match[3])
    if inside is None or stage >= len(_TIMM_STAGES):
        return None
    name, before = _TIMM_STAGES[stage]
    return f"{name}.{block + before}.{inside}"


def _transformers_path(prefix: str) -> str | None:
    match = re.fullmatch(r"encoder\.blocks\.(\d)\.layers\.(\d)\.(.+)", prefix)
    if match is None:
        return _TRANSFORMERS_OUTSIDE.get(prefix)
    inside = _TRANSFORMERS_INSIDE.get(match[3])
    return None if inside is None else f"blocks{int(match[1]) + 2}.{match[2]}.{inside}"
