"""The segmentation networks: a classifier's backbone with one of three heads on its maps."""

from __future__ import annotations

from typing import Any

import keras

from pplcnet.errors import InputError
from pplcnet.models.build import build_endpoints, normalized_image_size
from pplcnet.models.catalog import CATALOG, find_segmenter
from pplcnet.tasks.segmentation import deeplabv3p, lraspp, mobileseg

__all__ = ["build_segmenter", "with_training_heads"]

LAYOUTS = {
    "mobileseg": mobileseg.PLAIN,
    "mobileseg_fused": mobileseg.FUSED,
    "mobileseg_portrait": mobileseg.PORTRAIT,
}
# The last layers of strides 4, 8, 16 and 32.
MAPS = {
    "pplcnet": ("blocks3", "blocks4", "blocks5", "blocks6"),
    "mobilenetv3": ("blocks.2", "blocks.5", "blocks.11", "blocks.14"),
}
BACKBONE_OPTIONS = ("num_classes", "strides", "last_conv", "last_conv_bias", "deploy", "dropout")


def build_segmenter(
    name: str,
    *,
    classes: int = 19,
    image_size: int | tuple[int, int] | None = (512, 1024),
    align_corners: bool = False,
) -> keras.Model:
    """Build a segmentation network of the catalog with random weights, as a plain `keras.Model`.

    It takes normalised float32 images (N, H, W, 3) and returns logits (N, h, w, classes) at the
    resolution of its head: an eighth of the input's sides for MobileSeg, rounded up, a quarter for
    the others. `pplcnet.models.resizing.resize` upsamples them to every pixel.

    Args:
        name: a segmentation network of the catalog, such as "mobileseg_pplcnet_x0_5".
        classes: the number of classes, 1 to 255.
        image_size: pixels, one number or (height, width); odd sizes are fine. None builds a model
            that takes any size.
        align_corners: for the resizes inside a DeepLabV3+; the others have none.

    Raises:
        UnknownNameError: no such network.
        InputError: an argument outside what is allowed.
    """
    row = find_segmenter(name)
    if isinstance(classes, bool) or not isinstance(classes, int) or not 1 <= classes <= 255:
        raise InputError(f"num_classes is {classes!r}; it must be a whole number from 1 to 255.")
    if align_corners and row.head != "deeplabv3p":
        raise InputError(f"{name} has no option 'align_corners'; DeepLabV3+ networks have it.")
    if image_size is not None:
        image_size = normalized_image_size(image_size)
    backbone = build_endpoints(row.backbone, image_size, dict.fromkeys(BACKBONE_OPTIONS))
    maps = [backbone.stages[each] for each in MAPS[CATALOG[row.backbone].family]]
    logits: Any
    if row.head == "deeplabv3p":
        logits = deeplabv3p.build(maps, classes=classes, align_corners=align_corners)
    elif row.head == "lraspp":
        logits = lraspp.build(maps, classes=classes)
    else:
        logits = mobileseg.build(maps, LAYOUTS[row.head], classes=classes)
    return keras.Model(backbone.images, logits, name=name)


def with_training_heads(network: keras.Model) -> keras.Model:
    """A segmentation network that returns a list of logits: its own, and those of training heads.

    The first are the network's own, the others those of coarser and coarser levels, with random
    weights. DeepLabV3+ and LR-ASPP have only the first. The layers of the network are shared, so
    training this model trains the network.
    """
    layout = LAYOUTS.get(find_segmenter(network.name).head)
    others = [] if layout is None else mobileseg.training_logits(network, layout)
    return keras.Model(network.input, [network.outputs[0], *others], name=network.name)
