"""A report on a segmenter's answers to drawn masks, for tests of the report and of its page."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.pages.page import render
from pplcnet.pages.section import ReportContext, TaskReport
from pplcnet.tasks.segmentation.evaluation import evaluate
from tests.tasks.segmentation.masks import CLASSES, Answer, blobs, manifest

TRUTH = [blobs(seed) for seed in range(16)]
ANSWERS = [Answer(np.roll(each, 2 * seed, 1)) for seed, each in enumerate(TRUTH)]


def context_of(data: Dataset, classes: Any = CLASSES, count: int = len(TRUTH)) -> ReportContext:
    data = replace(data, classes=classes, images=data.images[:count])
    own = replace(manifest(), classes=classes)
    pairs = zip(data.images, ANSWERS[:count], strict=True)
    evaluation = evaluate(own, data, pairs)
    bundle = SimpleNamespace(manifest=own, classes=classes)
    return ReportContext(
        bundle, evaluation, data, ANSWERS[:count], data.keep(()), [], (0.9,)  # type: ignore[arg-type]
    )  # fmt: skip


def page_of(made: TaskReport) -> str:
    return render(
        "page.html", package="pplcnet.tasks.segmentation", sections=made.sections,
        title=made.title, tiles=made.tiles, split="test", images=16, photos="photos",
        choice="onnxruntime float32", trained=0, warning="", is_of_training=False, notes=[],
    )  # fmt: skip
