"""Maps PaddleSeg's tensor names of a segmentation network to those that layers are named after."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

__all__ = ["is_segmenter", "to_layer_names"]

BACKBONE = "backbone."
HEAD = re.compile(r"(ppseg_head|seg_heads|lraspp_head|head\.(aspp|decoder))\.")
# The convolution of each head that gives the logits.
LOGITS = re.compile(r"(?:seg_heads\.(\d+)\.conv_out|lraspp_head\.conv_out|head\.decoder\.conv)\.")
TRAINING_HEAD = re.compile(r"(seg_heads|head)\.[1-9]\d*\.")


def is_segmenter(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether these are the names of a segmentation network."""
    return any(HEAD.match(name) for name in tensors)


def to_layer_names(
    tensors: Mapping[str, np.ndarray], *, with_training_heads: bool = False
) -> dict[str, np.ndarray]:
    """The tensors with the backbone under a classifier's names, and uniform names for all logits.

    Args:
        with_training_heads: whether to keep the heads that only training uses.
    """
    found = {}
    for name, tensor in tensors.items():
        name = LOGITS.sub(
            lambda match: f"head.{match[1] or 0}.logits.", name.removeprefix(BACKBONE), count=1
        )
        if with_training_heads or not TRAINING_HEAD.match(name):
            found[name] = tensor
    return found
