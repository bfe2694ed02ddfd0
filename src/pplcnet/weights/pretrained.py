"""create_model: a network of the catalog, with weights loaded if any are named."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import keras

from pplcnet.models.build import Output, build_endpoints, check_options
from pplcnet.weights.backbones import FRACTAL
from pplcnet.weights.fetching import weights_path
from pplcnet.weights.loading import load_into, load_pretrained, read_for

__all__ = ["create_model"]


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = 224,
    weights: str | PathLike[str] | None = None,
    strides: Sequence[int | Sequence[int]] | None = None,
    last_conv: bool | None = None,
    last_conv_bias: bool | None = None,
    deploy: bool | None = None,
    dropout: float | None = None,
    output: Output = "logits",
) -> keras.Model:
    """Create a network of the catalog as a plain `keras.Model`, with weights if they are given.

    The model takes normalised float32 images (N, H, W, 3) and returns, by `output`:
    "logits" (N, num_classes) before softmax; "embedding" (N, D), the pooled features before the
    classifier; "stages", a dict of stage name to feature map (N, h, w, C).

    Options left at None follow the weights file as far as it says (a bundle says all of them);
    without weights they have their defaults.

    Args:
        name: a row of the catalog, such as "pplcnet_x1_0".
        num_classes: number of logits, at least 1. Default: 1000.
        image_size: pixels, one number or (height, width); odd sizes are fine. None creates a model
            that takes any size.
        weights: "imagenet", "imagenet-ssld" or "timm" (downloaded), or a file: `.pdparams`, `.npz`,
            `.safetensors`, `.keras`, a bundle, a Paddle inference model. Every tensor must fit.
            "fractal" is the backbone that ships with pplcnet; the classifier is random. None starts
            from random values.
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
        InputError: an option outside what is allowed.
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
