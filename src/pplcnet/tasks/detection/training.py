"""Training of object detection: PicoDet's assignment, losses and views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from pplcnet.data.dataset import Dataset
from pplcnet.models.boxes import BINS
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.detection.head import LOGITS, build_picodet
from pplcnet.tasks.detection.losses import CELL_COLUMNS, DetectionLoss, pack_cells
from pplcnet.tasks.detection.options import DetectionOptions
from pplcnet.tasks.detection.targets import BoxTargets
from pplcnet.tasks.detection.views import random_box_view
from pplcnet.tasks.task_training import ImageSize, Objective, TaskTraining

__all__ = ["PACKED", "TRAINING", "trained_model"]

PACKED = "packed_cells"


class PackedCells(keras.layers.Layer):
    """A detector's logits and its cells' places, in the form that its loss takes; always float32.

    It takes images (N, H, W, 3) and the three logits. `is_aligned` is 1 while boxes are assigned by
    the network's predictions, else 0.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(dtype="float32", autocast=False, **options)
        self.is_aligned = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="is_aligned"
        )

    def call(self, inputs: Sequence[Any]) -> Any:
        """Pack the inputs into (N, cells, C + 1 + 4 BINS + CELL_COLUMNS), by `pack_cells`."""
        images, classes, align, distances = inputs
        is_aligned = ops.convert_to_tensor(self.is_aligned)
        return pack_cells(classes, align, distances, ops.shape(images)[1:3], is_aligned)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        """The output shape for the inputs' shapes."""
        images, cells, classes = input_shape[1]
        return images, cells, classes + 1 + 4 * BINS + CELL_COLUMNS


def _build(
    name: str, classes: Sequence[str], image_size: ImageSize | None, options: Mapping[str, Any]
) -> keras.Model:
    own = {key: value for key, value in options.items() if key != "dropout"}
    return build_picodet(name, classes=len(classes), image_size=image_size, **own)


def trained_model(network: keras.Model) -> keras.Model:
    """A detector whose only output, (N, cells, ...), is what its loss takes."""
    logits = [network.get_layer(name).output for name in LOGITS]
    return keras.Model(network.input, PackedCells(name=PACKED)([network.input, *logits]))


def _objective(recipe: Recipe, dataset: Dataset) -> Objective:
    part = recipe.options_as(DetectionOptions).atss_part

    def begin_epoch(model: keras.Model, epoch: int) -> None:
        is_aligned = epoch >= round(part * recipe.epochs)
        model.get_layer(PACKED).is_aligned.assign(float(is_aligned))

    return Objective(
        DetectionLoss(len(dataset.classes)),
        [],
        trained_model=trained_model,
        begin_epoch=begin_epoch,
    )


TRAINING = TaskTraining(
    build=_build,
    targets=BoxTargets,
    view=random_box_view,
    objective=_objective,
)
