"""PicoDet's head and the whole network (PaddleDetection 2022, PicoDet "v2", on PP-LCNet)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras

from pplcnet.errors import InputError
from pplcnet.models.blocks import Names, conv_bn, depthwise_bn, layer_name, pool
from pplcnet.models.boxes import BINS, DistancesToBoxes, JoinCells, JointScore
from pplcnet.models.build import build_endpoints, normalized_image_size
from pplcnet.models.catalog import find_detector
from pplcnet.tasks.detection.neck import build_neck

__all__ = ["LOGITS", "build_picodet"]

LOGITS = ("class_logits", "align_logits", "distance_logits")
"""The layers (N, cells, C), (N, cells, 1) and (N, cells, 32) that training uses."""
SIDE_MULTIPLE = 32
KERNEL = 5
PLAIN = Names("conv", "norm")
# The initial probability of every class, so that the many cells without an object do not drown
# out the few with one (Lin et al. 2017, arXiv 1708.02002).
PRIOR = 0.01
BACKBONE_OPTIONS = ("num_classes", "strides", "last_conv", "last_conv_bias", "deploy", "dropout")


def build_picodet(
    name: str, *, classes: int = 80, image_size: int | tuple[int, int] | None = 320
) -> keras.Model:
    """Build a detector of the catalog with random weights, as a plain `keras.Model`.

    It takes normalised float32 images (N, H, W, 3) and returns `boxes` (N, cells, 4), x1, y1, x2,
    y2 in pixels of the images, neither clipped nor suppressed, and `scores` (N, cells, classes),
    0 to 1.

    Args:
        name: a detector of the catalog, such as "picodet_xs".
        classes: how many kinds of objects, at least 1.
        image_size: pixels, one number or (height, width), multiples of 32. None builds a model that
            takes any such size.

    Raises:
        UnknownNameError: no such detector.
        InputError: an argument outside what is allowed.
    """
    row = find_detector(name)
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise InputError(f"num_classes is {classes!r}; it must be a whole number of at least 1.")
    if image_size is not None:
        image_size = normalized_image_size(image_size)
        if any(side % SIDE_MULTIPLE for side in image_size):
            raise InputError(
                f"image size is {image_size[0]}x{image_size[1]}; both sides of a detector's input "
                f"must be multiples of {SIDE_MULTIPLE}."
            )
    backbone = build_endpoints(row.backbone, image_size, dict.fromkeys(BACKBONE_OPTIONS))
    stages = [backbone.stages[each] for each in ("blocks4", "blocks5", "blocks6")]
    levels = [
        _level(features, at, row.blocks, classes)
        for at, features in enumerate(build_neck(stages, row.channels))
    ]
    # float32 under every dtype policy, like the logits of a classifier.
    logits = [
        JoinCells(dtype="float32", name=each)([getattr(level, each) for level in levels])
        for each in LOGITS
    ]
    boxes = DistancesToBoxes(dtype="float32", name="boxes")([logits[2], backbone.images])
    scores = JointScore(dtype="float32", name="scores")(logits[:2])
    return keras.Model(backbone.images, [boxes, scores], name=name)


class _Level(NamedTuple):
    """The head's outputs for one level, (N, h, w, channels) each."""

    class_logits: Any
    align_logits: Any
    distance_logits: Any


def _level(features, at: int, blocks: int, classes: int) -> _Level:
    channels = features.shape[-1]
    for block in range(blocks):
        path = f"head.conv_feat.cls_conv_{{}}{at}.{block}"
        features = depthwise_bn(
            features, path.format("dw"), kernel=KERNEL, names=PLAIN, initializer=_small()
        )
        features = conv_bn(
            features,
            path.format("pw"),
            channels=channels,
            kernel=1,
            names=PLAIN,
            initializer=_small(),
        )
    gated = _gate(features, f"head.conv_feat.se.{at}")
    class_logits = keras.layers.Conv2D(
        classes,
        1,
        kernel_initializer=_small(),
        bias_initializer=keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR)),
        name=layer_name(f"head.head_cls{at}"),
    )(gated)
    distance_logits = keras.layers.Conv2D(
        4 * BINS, 1, kernel_initializer=_small(), name=layer_name(f"head.head_reg{at}")
    )(gated)
    path = f"head.cls_align.{at}"
    align = conv_bn(
        features,
        path,
        channels=1,
        kernel=KERNEL,
        names=Names("dwconv", "bn1"),
        initializer="he_uniform",
    )
    align = conv_bn(
        align,
        path,
        channels=1,
        kernel=1,
        activation=None,
        names=Names("pwconv", "bn2"),
        initializer="he_uniform",
    )
    return _Level(class_logits, align, distance_logits)


def _gate(features, path: str):
    """Channels weighted by a gate on the pooled map; without the backbone's bottleneck."""
    channels = features.shape[-1]
    gate = keras.layers.Conv2D(
        channels,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        name=layer_name(f"{path}.fc"),
    )(pool(features, f"{path}.pool"))
    gate = keras.layers.Activation("sigmoid", name=layer_name(f"{path}.sigmoid"))(gate)
    features = keras.layers.Multiply(name=layer_name(f"{path}.scale"))([features, gate])
    return conv_bn(
        features, f"{path}.conv", channels=channels, kernel=1, names=PLAIN, initializer=_small()
    )


def _small() -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=0.01)
