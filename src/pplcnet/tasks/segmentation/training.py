"""Training of segmentation: views of photos with their masks, and a loss on every head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from pplcnet.data.dataset import Dataset
from pplcnet.models.resizing import resize_sampled
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.segmentation.head import build_segmenter, with_training_heads
from pplcnet.tasks.segmentation.losses import SegmentationLoss
from pplcnet.tasks.segmentation.options import SegmentationOptions
from pplcnet.tasks.segmentation.targets import MaskTargets, balanced_weights, read_mask
from pplcnet.tasks.segmentation.views import random_mask_view
from pplcnet.tasks.task_training import ImageSize, Objective, Targets, TaskTraining

__all__ = ["TRAINING", "trained_model"]


class PixelLogits(keras.layers.Layer):
    """The logits of all heads for the pixels that the loss counts; always float32.

    It takes images (N, H, W, 3) and the heads' logits (N, h, w, C), each at its own resolution.
    """

    def __init__(self, step: int = 1, **options: Any) -> None:
        """For every pixel, or for every step-th in both directions."""
        super().__init__(dtype="float32", autocast=False, **options)
        self.step = step

    def call(self, inputs: Sequence[Any]) -> Any:
        """The logits (N, heads, H', W', C)."""
        images, *logits = inputs
        size = tuple(ops.shape(images)[1:3])
        return ops.stack(
            [resize_sampled(ops.cast(each, "float32"), size, self.step) for each in logits], axis=1
        )

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        """The output shape for the inputs' shapes."""
        (images, *size, _), *logits = input_shape
        first = self.step // 2
        counted = [None if side is None else -(-(side - first) // self.step) for side in size]
        return images, len(logits), *counted, logits[0][3]


def _build(
    name: str, classes: Sequence[str], image_size: ImageSize | None, options: Mapping[str, Any]
) -> keras.Model:
    own = {key: value for key, value in options.items() if key != "dropout"}
    return build_segmenter(name, classes=len(classes), image_size=image_size, **own)


def trained_model(
    network: keras.Model, *, training_heads: bool = True, step: int = 1
) -> keras.Model:
    """A segmenter whose only output is the logits of all its heads for every step-th pixel."""
    headed = with_training_heads(network) if training_heads else network
    return keras.Model(network.input, PixelLogits(step)([network.input, *headed.outputs]))


def _objective(recipe: Recipe, dataset: Dataset) -> Objective:
    options = recipe.options_as(SegmentationOptions)
    loss = SegmentationLoss(
        pixel_loss=options.pixel_loss,
        class_weights=balanced_weights(dataset) if options.class_weights == "balanced" else None,
        ohem_threshold=options.ohem_threshold,
        hard_pixels=options.hard_pixels,
        dice_part=options.dice,
        lovasz_part=options.lovasz,
        step=options.pixel_step,
    )
    model = partial(trained_model, training_heads=options.training_heads, step=options.pixel_step)
    return Objective(loss, [], trained_model=model)


def _target_shape(targets: Targets, size: ImageSize) -> tuple[int, ...]:
    return size


TRAINING = TaskTraining(
    build=_build,
    targets=MaskTargets,
    view=random_mask_view,
    objective=_objective,
    target_shape=_target_shape,
    read_target=read_mask,
)
