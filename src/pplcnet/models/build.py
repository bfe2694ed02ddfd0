"""create_model: a catalog name and options in, a plain keras.Model out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from types import ModuleType
from typing import Any, Literal

import keras

from pplcnet.errors import InputError
from pplcnet.models import (
    catalog,
    ghostnet,
    mobilenetv1,
    mobilenetv2,
    mobilenetv3,
    pplcnet,
    pplcnetv2,
    shufflenetv2,
)
from pplcnet.models.blocks import Strides

__all__ = ["create_model", "normalized_image_size", "normalized_strides"]

Output = Literal["logits", "embedding", "stages"]

MAX_IMAGE_SIZE = 4096
_FAMILIES: dict[str, ModuleType] = {
    "ghostnet": ghostnet,
    "mobilenetv1": mobilenetv1,
    "mobilenetv2": mobilenetv2,
    "mobilenetv3": mobilenetv3,
    "pplcnet": pplcnet,
    "pplcnetv2": pplcnetv2,
    "shufflenetv2": shufflenetv2,
}


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
    """Build a network of the catalog as a plain `keras.Model`.

    The model takes normalised float32 images (N, H, W, 3) and returns, by `output`:
    "logits" (N, num_classes) before softmax; "embedding" (N, D), the pooled features before the
    classifier; "stages", a dict of stage name to feature map (N, h, w, C).

    What is None is as the weights need it, as far as their file says (a bundle says all of it), and
    the default without weights.

    Args:
        name: a row of the catalog, such as "pplcnet_x1_0".
        num_classes: number of logits, at least 1. Default: 1000.
        image_size: pixels, one number or (height, width); odd sizes are fine. None builds a model
            that takes any.
        weights: "imagenet", "imagenet-ssld" or "timm" (downloaded), or a file: `.pdparams`, `.npz`,
            `.safetensors`, `.keras`, a bundle, a Paddle inference model. Every tensor must fit.
            None starts from random values.
        strides: of PP-LCNet; five of them, for the stem, blocks3, blocks4, blocks5 and blocks6,
            each a number or (height, width). Default: 2 everywhere.
        last_conv: of PP-LCNet; whether the 1280-channel 1x1 convolution after pooling is there.
            Default: it is.
        last_conv_bias: of PP-LCNet; whether that convolution has a bias, as timm's has. Default: it
            has none.
        deploy: of PP-LCNetV2; whether parallel branches are built merged. `to_deploy_form` makes
            such a model from a trained one. Default: they are not.
        dropout: rate before the classifier. Default: the original's. As in the originals (except
            GhostNet), inference multiplies the features by `1 - dropout`, so that weights give
            correct answers only at the rate that they were trained with.
        output: see above.

    Raises:
        UnknownNameError: no such network.
        InputError: an option outside what is allowed.
        WeightsError: the weights cannot be read or do not fit.
    """
    row = catalog.find(name)
    family = _FAMILIES[row.family]
    height, width = (None, None) if image_size is None else normalized_image_size(image_size)
    if output not in ("logits", "embedding", "stages"):
        raise InputError(f"output is {output!r}; allowed are 'logits', 'embedding' and 'stages'.")
    given = {
        "num_classes": num_classes,
        "strides": strides,
        "last_conv": last_conv,
        "last_conv_bias": last_conv_bias,
        "deploy": deploy,
        "dropout": dropout,
    }
    options = _checked(row, family, given)  # before a download
    held = None
    if weights is not None:
        from pplcnet.weights.fetching import weights_path
        from pplcnet.weights.loading import load_into, read_for

        held = read_for(name, weights_path(name, weights))
        told = {key: held.options.get(key) for key, each in given.items() if each is None}
        options = _checked(row, family, given | told)

    inputs = keras.Input((height, width, 3), name="images")
    stages, embedding, logits = family.build(inputs, row, **options)
    model = keras.Model(inputs, logits, name=name)
    if held is not None:
        load_into(model, held.path, held.weights)
    if output == "logits":
        return model
    outputs = embedding if output == "embedding" else stages
    return keras.Model(inputs, outputs, name=f"{name}_{output}")


def _checked(row: catalog.Network, family: ModuleType, values: Mapping[str, Any]) -> dict[str, Any]:
    """What `build` takes, with the defaults of what is None; InputError for wrong values."""
    classes, dropout = values["num_classes"], values["dropout"]
    if classes is None:
        classes = 1000
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise InputError(f"num_classes is {classes!r}; it must be a whole number of at least 1.")
    options = _family_options(row, family, values)
    if dropout is None:
        dropout = family.default_dropout(**options)
    if not isinstance(dropout, int | float) or not 0.0 <= dropout < 1.0:
        raise InputError(f"dropout is {dropout!r}; it must be at least 0 and below 1.")
    return {"num_classes": classes, "dropout": dropout, **options}


def _family_options(
    row: catalog.Network, family: ModuleType, values: Mapping[str, Any]
) -> dict[str, Any]:
    """What differs from the defaults; InputError for what the family has not."""
    given: dict[str, Any] = {}
    if values["strides"] is not None:
        given["strides"] = normalized_strides(values["strides"])
    if values["last_conv"] is not None and not values["last_conv"]:
        given["last_conv"] = False
    for name in ("last_conv_bias", "deploy"):
        if values[name]:
            given[name] = True
    for name in given:
        if name not in family.OPTIONS:
            having = [each for each, module in _FAMILIES.items() if name in module.OPTIONS]
            raise InputError(
                f"{row.name} has no option {name!r}; networks of {', '.join(having)} have it."
            )
    return given


def normalized_image_size(image_size: int | Sequence[int]) -> tuple[int, int]:
    """`image_size` as (height, width) in pixels; InputError outside 1 to 4096."""
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or not all(_is_whole(side, 1, MAX_IMAGE_SIZE) for side in sides):
        raise InputError(
            f"image size is {image_size!r}; it must be one number or (height, width), "
            f"each from 1 to {MAX_IMAGE_SIZE} pixels."
        )
    return sides[0], sides[1]


def normalized_strides(strides: Sequence[int | Sequence[int]] | None) -> tuple[Strides, ...]:
    """Five (height, width) strides; InputError when there are not five of 1 or 2."""
    if strides is None:
        return pplcnet.DEFAULT_STRIDES
    pairs = [(each, each) if isinstance(each, int) else tuple(each) for each in strides]
    if len(pairs) != len(pplcnet.DEFAULT_STRIDES) or not all(
        len(pair) == 2 and all(_is_whole(stride, 1, 2) for stride in pair) for pair in pairs
    ):
        raise InputError(
            f"strides are {strides!r}; they must be five (stem, blocks3 to blocks6), each 1, 2 or "
            "a (height, width) pair of those."
        )
    return tuple((pair[0], pair[1]) for pair in pairs)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
