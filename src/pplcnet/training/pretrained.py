"""The pretrained weights that training starts from, and which of them are frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError, UnknownNameError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.blocks import layer_name
from pplcnet.models.build import build_model
from pplcnet.models.catalog import backbone_of, only_task
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import AUTO
from pplcnet.training.batches import load_for_evaluation
from pplcnet.weights.fetching import weights_path
from pplcnet.weights.folded import has_neutral_norms, unfold
from pplcnet.weights.loading import (
    LoadedWeights,
    layers_of_task,
    load_pretrained,
    read_for,
)

__all__ = [
    "BACKBONE",
    "freeze_stages",
    "options_for_training",
    "read_start",
    "stage_depths",
    "start_from_weights",
]

BACKBONE = "trunk"
UNFOLDING_IMAGES = 512


def read_start(recipe: Recipe) -> LoadedWeights | None:
    """The weights that a recipe starts from, downloaded if necessary; None if it names none.

    Raises:
        WeightsError: they cannot be fetched or read, or are for another network.
        InputError: the recipe's weights are auto, which `starts.find_start` should have replaced.
    """
    if recipe.weights is None:
        return None
    if recipe.weights == AUTO:
        raise InputError(
            "weights is 'auto', which only pplcnet.train resolves; name the weights to start from."
        )
    return read_for(recipe.model, weights_path(recipe.model, recipe.weights))


def options_for_training(recipe: Recipe, start: LoadedWeights | None) -> dict[str, Any]:
    """Options of the network, besides its name, classes and size.

    They match the weights: the same strides, an equally wide head. Networks for other tasks have
    no such options: they take only a classifier's backbone, which is always the same.
    """
    if only_task(recipe.model) is not None:
        return {"dropout": recipe.dropout}
    of_file = start.options if start is not None else {}
    of_recipe = {"num_classes", "image_size", "dropout"}
    options = {name: value for name, value in of_file.items() if name not in of_recipe}
    return {"dropout": recipe.dropout, **options}


def start_from_weights(
    model: keras.Model,
    start: LoadedWeights,
    train_set: Dataset,
    recipe: Recipe,
    preprocessing: Preprocessing,
    report: Callable[[str], None],
) -> None:
    """Load pretrained weights, and measure BatchNorm's statistics if they have none."""
    own_layers = layers_of_task(model, start.weights)
    for line in load_pretrained(model, start.path, start.weights, own_layers=own_layers):
        report(line)
    if not has_neutral_norms(model):
        return
    order = np.random.default_rng(recipe.seed).permutation(len(train_set))[:UNFOLDING_IMAGES]
    measured = [train_set.images[at] for at in order]
    pixels = load_for_evaluation(measured, preprocessing, recipe.workers)
    parts = [pixels[at : at + 32] for at in range(0, len(pixels), 32)]
    unfold(model, (preprocessing.normalize(part) for part in parts))
    report(f"BatchNorm unfolded with statistics of {len(pixels)} training images")


def stage_depths(network: str, model: keras.Model) -> tuple[list[str], dict[str, int]]:
    """The network's stages from the input on, and the stage index of every layer.

    A layer behind the last stage (the head) has the index after the last.
    """
    stages = list(build_model(backbone_of(network).name, output="stages").output)
    prefixes = [f"{layer_name(stage)}_" for stage in stages]
    depths = {}
    for layer in model.layers:
        inside = [at for at, prefix in enumerate(prefixes) if layer.name.startswith(prefix)]
        depths[layer.name] = inside[-1] if inside else len(stages)
    return stages, depths


def freeze_stages(model: keras.Model, recipe: Recipe) -> None:
    """Freeze the weights and statistics of the stage `recipe.freeze` and of all before it."""
    if not recipe.freeze:
        return
    stages, depths = stage_depths(recipe.model, model)
    if recipe.freeze not in stages:
        whole = [BACKBONE] if recipe.options.pools_features else []
        raise UnknownNameError("stage to freeze", recipe.freeze, [*stages, *whole])
    last = stages.index(recipe.freeze)
    for layer in model.layers:
        if depths[layer.name] <= last:
            layer.trainable = False
