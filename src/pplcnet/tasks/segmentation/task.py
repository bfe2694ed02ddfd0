"""Semantic segmentation as a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pplcnet.data.masks import Mask
from pplcnet.models.catalog import find_segmenter
from pplcnet.tasks.segmentation.audit import faults, notes
from pplcnet.tasks.segmentation.decoding import Segmentation, decoder
from pplcnet.tasks.segmentation.evaluation import evaluate
from pplcnet.tasks.segmentation.judge import judge
from pplcnet.tasks.task import Measure, Task

__all__ = ["TASK"]


def _outputs(
    classes: Sequence[str], image_size: tuple[int, int], network: str
) -> Mapping[str, tuple[int, ...]]:
    stride = find_segmenter(network).stride
    height, width = (-(-side // stride) for side in image_size)
    return {"logits": (height, width, len(classes))}


TASK = Task(
    name="segmentation",
    title="a class for each pixel",
    noun="class",
    measure=Measure("miou", "mIoU", is_share=False),
    annotation=Mask,
    prediction=Segmentation,
    faults=faults,
    notes=notes,
    outputs=_outputs,
    decoder=decoder,
    judge=judge,
    evaluate=evaluate,
    calibrate=None,
    decoding=(),
    # The inputs of the last convolution, in MobileSeg, DeepLabV3+ and LR-ASPP.
    head_inputs=(
        "seg_heads_0_conv_piontwise_conv_relu",
        "head_decoder_conv_bn_relu3_piontwise_conv_relu",
        "lraspp_head_conv_ups_1_relu",
    ),
    outputs_text="logits: float32 (N, h, w, classes), before softmax, of cells of the input; each "
    "pixel's are bilinear between their centres",
)
