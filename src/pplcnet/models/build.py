"""build_model: from a catalog name and options to a plain keras.Model with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple

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

__all__ = [
    "Endpoints",
    "Features",
    "Output",
    "build_endpoints",
    "build_model",
    "check_options",
    "features_of",
    "normalized_image_size",
    "normalized_strides",
]

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


class Endpoints(NamedTuple):
    """The symbolic tensors of a network; all models made from them share its layers."""

    name: str
    images: keras.KerasTensor
    """(N, H, W, 3), normalised."""
    stages: dict[str, keras.KerasTensor]
    """Stage name to feature map (N, h, w, C), from input to output."""
    embedding: keras.KerasTensor
    """(N, D), the pooled features before the classifier."""
    logits: keras.KerasTensor
    """(N, num_classes), before softmax."""

    def model(self, output: Output = "logits") -> keras.Model:
        """The model from images to the given output."""
        if output == "logits":
            return keras.Model(self.images, self.logits, name=self.name)
        outputs = self.embedding if output == "embedding" else self.stages
        return keras.Model(self.images, outputs, name=f"{self.name}_{output}")


def build_model(
    name: str,
    *,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = 224,
    strides: Sequence[int | Sequence[int]] | None = None,
    last_conv: bool | None = None,
    last_conv_bias: bool | None = None,
    deploy: bool | None = None,
    dropout: float | None = None,
    output: Output = "logits",
) -> keras.Model:
    """Build a network of the catalog with random weights, as a plain `keras.Model`.

    The model takes normalised float32 images (N, H, W, 3) and returns, by `output`:
    "logits" (N, num_classes) before softmax; "embedding" (N, D), the pooled features before the
    classifier; "stages", a dict of stage name to feature map (N, h, w, C).

    Args:
        name: a network of the catalog, such as "pplcnet_x1_0".
        num_classes: number of logits, at least 1. Default: 1000.
        image_size: pixels, one number or (height, width); odd sizes are fine. None builds a model
            that takes any size.
        strides: PP-LCNet only. Five of them, for the stem, blocks3, blocks4, blocks5 and blocks6,
            each a number or (height, width). Default: 2 everywhere.
        last_conv: PP-LCNet only. Whether the 1280-channel 1x1 convolution after pooling is there.
            Default: True.
        last_conv_bias: PP-LCNet only. Whether that convolution has a bias, as timm's has. Default:
            False.
        deploy: PP-LCNetV2 only. Whether parallel branches are built merged; `to_deploy_form` makes
            such a model from a trained one. Default: False.
        dropout: rate before the classifier. Default: the original's. As in the originals (except
            GhostNet), inference multiplies the features by `1 - dropout`.
        output: see above.

    Raises:
        UnknownNameError: no such network.
        InputError: an option has a value that is not allowed.
    """
    options = {
        "num_classes": num_classes,
        "strides": strides,
        "last_conv": last_conv,
        "last_conv_bias": last_conv_bias,
        "deploy": deploy,
        "dropout": dropout,
    }
    check_options(name, image_size, output, options)
    return build_endpoints(name, image_size, options).model(output)


def build_endpoints(
    name: str, image_size: int | tuple[int, int] | None, options: Mapping[str, Any]
) -> Endpoints:
    """The tensors of a network with random weights; the arguments are those of `build_model`."""
    row = catalog.find(name)
    family = _FAMILIES[row.family]
    height, width = (None, None) if image_size is None else normalized_image_size(image_size)
    images = keras.Input((height, width, 3), name="images")
    stages, embedding, logits = family.build(images, row, **_with_defaults(row, family, options))
    return Endpoints(name, images, stages, embedding, logits)


def check_options(
    name: str,
    image_size: int | tuple[int, int] | None,
    output: str,
    options: Mapping[str, Any],
) -> None:
    """Raise what `build_model` raises for these arguments, without building anything."""
    row = catalog.find(name)
    if image_size is not None:
        normalized_image_size(image_size)
    if output not in ("logits", "embedding", "stages"):
        raise InputError(f"output is {output!r}; allowed are 'logits', 'embedding' and 'stages'.")
    _with_defaults(row, _FAMILIES[row.family], options)


class Features(NamedTuple):
    """The symbolic tensors where a network's backbone ends and its head begins."""

    map: keras.KerasTensor
    """The last feature map (N, h, w, C)."""
    pooled: keras.KerasTensor
    """Its mean over all positions: (N, 1, 1, C) in networks of the catalog."""


def features_of(model: keras.Model) -> Features:
    """The input features of a classifier's head, before and after global pooling.

    Training the head alone and Grad-CAM cut the network here. It is the last pooling layer: layers
    are in order of use, and the ones inside squeeze-and-excite come before it.

    Raises:
        InputError: the network has no global average pooling.
    """
    for layer in reversed(model.layers):
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            return Features(layer.input, layer.output)
    raise InputError(
        f"{model.name}: has no global average pooling, after which its head would begin."
    )


def _with_defaults(
    row: catalog.Network, family: ModuleType, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of the family's `build`; InputError for wrong values."""
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
    """The options that differ from the defaults; InputError for one that the family lacks."""
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
