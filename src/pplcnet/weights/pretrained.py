"""create_model: a network of the catalog, with weights if any are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import keras

from pplcnet.errors import InputError
from pplcnet.models.build import Output, build_endpoints, check_options
from pplcnet.models.catalog import backbone_of, only_task
from pplcnet.tasks.detection.head import build_picodet
from pplcnet.tasks.segmentation.head import build_segmenter
from pplcnet.weights.backbones import FRACTAL
from pplcnet.weights.fetching import weights_path
from pplcnet.weights.loading import layers_of_task, load_into, load_pretrained, read_for

__all__ = ["create_model"]

USUAL_SIZE = 224
"""For classifiers; the builders of other networks have their own."""
# Networks for a single task.
_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "detection": build_picodet,
    "segmentation": build_segmenter,
}


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | Literal["usual"] | None = "usual",
    weights: str | PathLike[str] | None = None,
    strides: Sequence[int | Sequence[int]] | None = None,
    last_conv: bool | None = None,
    last_conv_bias: bool | None = None,
    deploy: bool | None = None,
    dropout: float | None = None,
    output: Output = "logits",
) -> keras.Model:
    """Create a network of the catalog as a plain `keras.Model`, with weights if any are given.

    The model takes normalised float32 images (N, H, W, 3) and returns, by `output`:
    "logits" (N, num_classes) before softmax; "embedding" (N, D), the pooled features before the
    classifier; "stages", a dict of stage name to feature map (N, h, w, C).

    A detector returns boxes (N, cells, 4), in pixels of its input before suppression, and scores
    (N, cells, num_classes); a segmentation network logits (N, h, w, num_classes). They have no
    options but num_classes, image_size and weights.

    Options left at None are taken from the weights file where it records them (a bundle records all
    of them); without weights they have their defaults.

    Args:
        name: a network of the catalog, such as "pplcnet_x1_0" or "picodet_xs".
        num_classes: number of classes, at least 1. Default: 1000; 80 for a detector, 19 for a
            segmentation network.
        image_size: pixels, one number or (height, width); odd sizes are fine, but a detector's are
            multiples of 32. None creates a model that takes any size. "usual" is 224; 320 for a
            detector, (512, 1024) for a segmentation network.
        weights: "imagenet", "imagenet-ssld" or "timm", for a detector "coco" (downloaded), or a
            file: `.pdparams`, `.npz`, `.safetensors`, `.keras`, a bundle, a Paddle inference model,
            the `.onnx` of a PicoDet. Every tensor must fit. "fractal" is the backbone that ships
            with pplcnet; the classifier is random. If a detector or a segmentation network gets a
            classifier's weights, everything after the backbone is random. None means random values.
        strides: PP-LCNet only. Five of them, for the stem, blocks3, blocks4, blocks5 and blocks6,
            each a number or (height, width). Default: 2 everywhere.
        last_conv: PP-LCNet only. Whether the 1280-channel 1x1 convolution after pooling is there.
            Default: True.
        last_conv_bias: PP-LCNet only. Whether that convolution has a bias, as timm's has. Default:
            False.
        deploy: PP-LCNetV2 only. Whether parallel branches are built merged; `to_deploy_form` makes
            such a model from a trained one. Default: False.
        dropout: rate before the classifier. Default: the original's. As in the originals (except
            GhostNet), inference multiplies the features by `1 - dropout`, so weights give correct
            predictions only at the rate that they were trained with.
        output: see above.

    Raises:
        UnknownNameError: no such network.
        InputError: an option has a value that is not allowed.
        WeightsError: the weights cannot be read or do not fit.
    """
    options = {
        "num_classes": num_classes,
        "strides": strides,
        "last_conv": last_conv,
        "last_conv_bias": last_conv_bias,
        "deploy": deploy,
        "dropout": dropout,
    }
    row = backbone_of(name)  # raises for an unknown name
    builder = _BUILDERS.get(only_task(name) or "")
    if builder is not None:
        size = {} if image_size == "usual" else {"image_size": image_size}
        _check_unused(name, row.name, options, output)
        return _create_for_task(builder, name, num_classes, size, weights)
    if image_size == "usual":
        image_size = USUAL_SIZE
    check_options(name, image_size, output, options)  # before a download
    if weights is None:
        return build_endpoints(name, image_size, options).model(output)
    loaded = read_for(name, weights_path(name, weights))
    for option, value in options.items():
        if value is None:
            options[option] = loaded.options.get(option)
    endpoints = build_endpoints(name, image_size, options)
    if weights == FRACTAL:
        load_pretrained(endpoints.model(), loaded.path, loaded.weights)
    else:
        load_into(endpoints.model(), loaded.path, loaded.weights)
    return endpoints.model(output)


def _check_unused(name: str, backbone: str, options: Mapping[str, Any], output: str) -> None:
    """InputError for an option that only classifiers have."""
    unused = [key for key, value in options.items() if value is not None and key != "num_classes"]
    if output != "logits":
        unused.append("output")
    if unused:
        raise InputError(
            f"{name} has no option {unused[0]!r}; only its backbone, {backbone}, has the options "
            "of classifiers."
        )


def _create_for_task(
    build: Callable[..., keras.Model],
    name: str,
    num_classes: int | None,
    size: Mapping[str, Any],
    weights: str | PathLike[str] | None,
) -> keras.Model:
    """A detector or another network for a single task."""
    classes = {} if num_classes is None else {"classes": num_classes}
    if weights is None:
        return build(name, **classes, **size)
    loaded = read_for(name, weights_path(name, weights))
    counts = {"classes": loaded.options["num_classes"]} if "num_classes" in loaded.options else {}
    model = build(name, **counts | classes, **size)
    others = layers_of_task(model, loaded.weights)
    if not others:
        load_into(model, loaded.path, loaded.weights)
        return model
    if counts and not classes:  # the counts are the classifier's
        model = build(name, **size)
    load_pretrained(model, loaded.path, loaded.weights, own_layers=others)
    return model
