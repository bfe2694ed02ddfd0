"""Object detection as a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pplcnet.data.annotations import Boxes
from pplcnet.models.catalog import DETECTOR_STRIDES
from pplcnet.tasks.detection.audit import faults, notes
from pplcnet.tasks.detection.calibrating import calibrate
from pplcnet.tasks.detection.decoding import Detections, confidence_of, decoder
from pplcnet.tasks.detection.evaluation import evaluate
from pplcnet.tasks.detection.judge import judge
from pplcnet.tasks.task import Measure, Task

__all__ = ["TASK"]


def _outputs(
    classes: Sequence[str], image_size: tuple[int, int], _: str
) -> Mapping[str, tuple[int, ...]]:
    cells = sum(-(-image_size[0] // each) * -(-image_size[1] // each) for each in DETECTOR_STRIDES)
    return {"boxes": (cells, 4), "scores": (cells, len(classes))}


TASK = Task(
    name="detection",
    title="boxes around objects",
    noun="class",
    measure=Measure("box_map", "AP", is_share=False),
    annotation=Boxes,
    prediction=Detections,
    faults=faults,
    notes=notes,
    outputs=_outputs,
    decoder=decoder,
    judge=judge,
    evaluate=evaluate,
    calibrate=calibrate,
    decoding=("confidence", "score_threshold", "iou_threshold", "most"),
    # The last convolutions. The layers after them turn logits into boxes and cost no time; in INT8,
    # a side would be one of 256 numbers. The loss of AP comes from the trunk's first stages, not
    # from here (benchmarks/detector_int8.py).
    head_inputs=tuple(
        name
        for level in range(len(DETECTOR_STRIDES))
        for name in (
            f"head_head_reg{level}",
            f"head_head_cls{level}",
            f"head_cls_align_{level}_pwconv",
        )
    ),
    # Twice the standard deviation of AP between float32 and bfloat16 on the 87 validation photos of
    # BCCD is 0.005: a limit of half as much would reject networks by chance.
    max_drop=0.01,
    facts=lambda manifest: {"confidence": confidence_of(manifest)},
    # Scores are square roots, which magnify the rounding of engines near 0: ONNX Runtime's sigmoid
    # ends at 1.5e-8.
    tolerance=1e-3,
    outputs_text="boxes: float32 (N, cells, 4), x1, y1, x2, y2 in pixels of the input, before "
    "suppression; scores: float32 (N, cells, classes), 0 to 1",
)
