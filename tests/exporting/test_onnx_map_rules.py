"""Segmentation networks answer in ONNX as in Keras, and their files pass the runtime's checks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pplcnet.exporting.timing import run_all
from pplcnet.exporting.translation import to_onnx
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.tasks.segmentation.head import build_segmenter
from tests.exporting.networks import manifest_of, random_images, with_lively_statistics


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        # Sides that no bin and no stride divides.
        ("mobileseg_fused_pplcnet_x0_25", (129, 97), {}),
        ("deeplabv3p_pplcnet_x0_25", (225, 65), {"align_corners": True}),
        ("lraspp_pplcnet_x0_25", (65, 97), {}),
    ],
)
def test_logits_are_those_of_keras(
    name: str, size: tuple[int, int], options: dict, batch: int | None
) -> None:
    model = with_lively_statistics(build_segmenter(name, classes=5, image_size=size, **options))
    manifest = manifest_of(model, "segmentation")
    content = to_onnx(model, manifest, batch=batch).SerializeToString()
    pixels = random_images(model, 2)
    found = run_all(open_engine("onnxruntime", content, sizes=Sizes.of(manifest)), pixels)
    expected = keras.ops.convert_to_numpy(
        model(manifest.preprocessing.normalize(pixels), training=False)
    )
    assert found["logits"].shape == expected.shape
    assert np.abs(found["logits"] - expected).max() <= 1e-5 * np.abs(expected).max()
