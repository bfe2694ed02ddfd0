"""MobileSeg (PaddleSeg 2022): the lightest head, made for CPUs.

The deepest map is pooled to a few bins that summarise the whole image, and then fused with one
level after the other, from the coarsest to the finest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from pplcnet.models.blocks import layer_name
from pplcnet.models.resizing import AdaptiveAveragePool
from pplcnet.tasks.segmentation.blocks import classify, conv_relu, separable, wide_as

__all__ = ["FUSED", "PLAIN", "PORTRAIT", "Layout", "build", "training_logits"]

BINS = (1, 2, 4)
CONTEXT_CHANNELS = 128
FUSED_CHANNELS = 32


class Layout(NamedTuple):
    """The levels that a MobileSeg uses and their widths, the finest level first."""

    levels: tuple[int, ...]
    """Indices of the backbone's maps of strides 4, 8, 16 and 32."""
    widths: tuple[int, ...]
    head_widths: tuple[int, ...]
    is_fused: bool
    """Whether all levels are finally joined at the finest one."""


PLAIN = Layout((1, 2, 3), (32, 64, 128), (32, 32, 32), is_fused=False)
FUSED = Layout((0, 1, 2, 3), (32, 64, 96, 128), (16, 32, 32, 32), is_fused=True)
PORTRAIT = Layout((0, 1, 2), (32, 64, 128), (16, 32, 32), is_fused=True)
"""Like FUSED, but without stride 32."""


def build(maps: Sequence[Any], layout: Layout, *, classes: int) -> Any:
    """Logits (N, h, w, classes) at the finest of the layout's levels.

    Args:
        maps: the backbone's maps (N, h, w, C) of strides 4, 8, 16 and 32.
    """
    levels = [maps[at] for at in layout.levels]
    fused = _context(levels[-1])
    results: list[Any] = []
    for at in reversed(range(len(levels))):
        fused = _fuse(levels[at], fused, f"ppseg_head.arm_list.{at}", layout.widths[at])
        results.insert(0, fused)
    finest = _join(results) if layout.is_fused else results[0]
    return _head(finest, 0, layout.head_widths[0], classes)


def training_logits(network: keras.Model, layout: Layout) -> list[Any]:
    """The logits of the heads on coarser levels, with random weights, on the network's maps."""
    classes = network.outputs[0].shape[-1]
    return [
        _head(
            network.get_layer(_result_of(f"ppseg_head.arm_list.{at}")).output,
            at,
            layout.head_widths[at],
            classes,
        )
        for at in range(1, len(layout.levels))
    ]


def _result_of(path: str) -> str:
    """The name of the layer that outputs a fusion's result."""
    return layer_name(f"{path}.conv_out.piontwise_conv.relu")


def _context(deepest: Any) -> Any:
    path = "ppseg_head.cm"
    branches = []
    for at, bins in enumerate(BINS):
        stage = f"{path}.stages.{at}"
        pooled = AdaptiveAveragePool(bins, name=layer_name(f"{stage}.0"))(deepest)
        pooled = conv_relu(pooled, f"{stage}.1", channels=CONTEXT_CHANNELS)
        branches.append(wide_as(pooled, deepest, stage))
    added = keras.layers.Add(name=layer_name(f"{path}.add"))(branches)
    return separable(added, f"{path}.conv_out", channels=CONTEXT_CHANNELS)


def _fuse(low: Any, high: Any, path: str, channels: int) -> Any:
    """Fuse a level's backbone map with the result of the deeper levels."""
    low = separable(low, f"{path}.conv_x", channels=high.shape[-1])
    high = wide_as(high, low, path)
    added = keras.layers.Add(name=layer_name(f"{path}.add"))([low, high])
    return separable(added, f"{path}.conv_out", channels=channels)


def _join(results: Sequence[Any]) -> Any:
    finest = results[0]
    parts = [finest]
    for at, coarse in enumerate(results[1:]):
        path = f"ppseg_head.fuse_convs.{at}"
        narrow = separable(coarse, path, channels=FUSED_CHANNELS)
        parts.append(wide_as(narrow, finest, path))
    joined = keras.layers.Concatenate(name="ppseg_head_concat")(parts)
    return separable(joined, "ppseg_head.last_conv", channels=FUSED_CHANNELS)


def _head(features: Any, at: int, width: int, classes: int) -> Any:
    features = separable(features, f"seg_heads.{at}.conv", channels=width)
    return classify(features, classes=classes, head=at)
