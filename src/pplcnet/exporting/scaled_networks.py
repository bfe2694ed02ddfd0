"""Adds networks for other input sizes to a bundle, for predictions averaged over several scales."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.errors import InputError
from pplcnet.exporting.images import choose_images
from pplcnet.exporting.parity import in_full_precision, keras_outputs, measure_parity
from pplcnet.exporting.timing import prepare, run_all
from pplcnet.exporting.translation import to_onnx
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.runtime.network import scaled_file, scaled_manifest
from pplcnet.tasks import task_of
from pplcnet.weights.bundled import restore_model

__all__ = ["export_scales"]


def export_scales(
    bundle: str | PathLike[str],
    scales: Sequence[float],
    images: Sequence[str | PathLike[str]] | None = None,
) -> tuple[Bundle, list[dict[str, Any]]]:
    """Add networks for other input sizes, each compared with Keras on real images.

    Args:
        bundle: a bundle folder with the Keras variant of a segmentation network.
        scales: factors for the sides of the input; 1 is the bundle's own network.
        images: as for `export`.

    Returns:
        The bundle, and the figures of `measure_parity` for each scale except 1.

    Raises:
        InputError: the bundle is not a segmentation network's, or a size is not allowed.
        ConversionError: as for `export`.
    """
    with Bundle.open_to_change(bundle) as opened:
        task = task_of(opened.manifest, opened.path)
        if not task.prediction.file_ending:
            raise InputError(
                f"{opened.path}: scales are for segmentation networks, whose answers are averaged "
                f"pixel by pixel; its task is {task.name}."
            )
        opened.variant("onnx")  # raises with advice if it is missing
        chosen = choose_images(opened, images)
        files, figures = {}, []
        for scale in dict.fromkeys(scales):
            if scale == 1:
                continue
            manifest = scaled_manifest(opened.manifest, scale)
            pixels = prepare(manifest.preprocessing, chosen)
            with in_full_precision():
                model = restore_model(opened, manifest.preprocessing.image_size)
                proto = to_onnx(to_deploy_form(model), manifest, batch=1)
                expected = keras_outputs(model, manifest, pixels)
            content = proto.SerializeToString()
            actual = run_all(open_engine("onnxruntime", content), pixels)
            judge = task.judge(manifest, ())
            figures.append(measure_parity(expected, actual, judge, task.tolerance))
            files[scaled_file(scale)] = content
        return update_bundle(opened, files=files) if files else opened, figures
