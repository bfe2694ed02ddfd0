"""pplcnet: image classifiers, detectors and segmenters that are fast on ordinary CPUs.

Importing this package imports no framework: every public name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pplcnet.models.registration import register_with_keras

if TYPE_CHECKING:
    from pplcnet.bundle.bundle import Bundle
    from pplcnet.data.dataset import Dataset
    from pplcnet.errors import PPLCNetError
    from pplcnet.exporting.calibrating import calibrate
    from pplcnet.exporting.export import export
    from pplcnet.exporting.litert import export_litert
    from pplcnet.exporting.quantization import quantize
    from pplcnet.exporting.tuning import tune
    from pplcnet.gallery.changing import add_to_gallery, build_gallery, remove_from_gallery
    from pplcnet.gallery.class_photos import find_class_photos
    from pplcnet.gallery.gallery import Gallery
    from pplcnet.imaging.preprocessing import Preprocessing
    from pplcnet.jobs.batches import BatchClassifier
    from pplcnet.models.reparameterization import to_deploy_form
    from pplcnet.recipe.recipe import Recipe
    from pplcnet.runs.training_run import run_job
    from pplcnet.runtime.classifier import Classifier
    from pplcnet.runtime.detector import Detector
    from pplcnet.runtime.model import Model, load
    from pplcnet.runtime.segmenter import Segmenter
    from pplcnet.tasks.audit import audit
    from pplcnet.tasks.detection.decoding import Detections
    from pplcnet.tasks.evaluate import evaluate
    from pplcnet.tasks.segmentation.decoding import Segmentation
    from pplcnet.tasks.task import Prediction
    from pplcnet.training.train import train
    from pplcnet.weights.bundled import restore_model
    from pplcnet.weights.conversion import convert
    from pplcnet.weights.pretrained import create_model

_PLACES = {
    "BatchClassifier": "jobs.batches",
    "Bundle": "bundle.bundle",
    "Classifier": "runtime.classifier",
    "Dataset": "data.dataset",
    "Detections": "tasks.detection.decoding",
    "Detector": "runtime.detector",
    "Gallery": "gallery.gallery",
    "Model": "runtime.model",
    "PPLCNetError": "errors",
    "Prediction": "tasks.task",
    "Preprocessing": "imaging.preprocessing",
    "Recipe": "recipe.recipe",
    "Segmentation": "tasks.segmentation.decoding",
    "Segmenter": "runtime.segmenter",
    "add_to_gallery": "gallery.changing",
    "audit": "tasks.audit",
    "build_gallery": "gallery.changing",
    "calibrate": "exporting.calibrating",
    "convert": "weights.conversion",
    "create_model": "weights.pretrained",
    "evaluate": "tasks.evaluate",
    "export": "exporting.export",
    "export_litert": "exporting.litert",
    "find_class_photos": "gallery.class_photos",
    "load": "runtime.model",
    "quantize": "exporting.quantization",
    "remove_from_gallery": "gallery.changing",
    "restore_model": "weights.bundled",
    "run_job": "runs.training_run",
    "to_deploy_form": "models.reparameterization",
    "train": "training.train",
    "tune": "exporting.tuning",
}
# The part whose absence of a framework has to be explained.
_NEEDS_TRAINING = (
    "models.",
    "exporting.export",
    "exporting.litert",
    "training.train",
    "weights",
)

__all__ = [
    "BatchClassifier",
    "Bundle",
    "Classifier",
    "Dataset",
    "Detections",
    "Detector",
    "Gallery",
    "Model",
    "PPLCNetError",
    "Prediction",
    "Preprocessing",
    "Recipe",
    "Segmentation",
    "Segmenter",
    "add_to_gallery",
    "audit",
    "build_gallery",
    "calibrate",
    "convert",
    "create_model",
    "evaluate",
    "export",
    "export_litert",
    "find_class_photos",
    "load",
    "quantize",
    "remove_from_gallery",
    "restore_model",
    "run_job",
    "to_deploy_form",
    "train",
    "tune",
]

register_with_keras()


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'pplcnet' has no attribute {name!r}")
    if place.startswith(_NEEDS_TRAINING):
        from pplcnet.errors import require

        require("keras", purpose=f"pplcnet.{name}", extra="train")
    value = getattr(importlib.import_module(f"pplcnet.{place}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
