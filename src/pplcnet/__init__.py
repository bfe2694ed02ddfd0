"""pplcnet: image classifiers that are fast on ordinary CPUs.

Importing this package imports no framework: every public name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pplcnet.registration import register_with_keras

if TYPE_CHECKING:
    from pplcnet.auditing import audit
    from pplcnet.bundle import Bundle
    from pplcnet.dataset import Dataset
    from pplcnet.deployment.calibrating import calibrate
    from pplcnet.deployment.exporting import export
    from pplcnet.deployment.litert import export_litert
    from pplcnet.deployment.quantization import quantize
    from pplcnet.deployment.tuning import tune
    from pplcnet.errors import PPLCNetError
    from pplcnet.evaluation import evaluate
    from pplcnet.job import run_job
    from pplcnet.models.creation import create_model
    from pplcnet.models.reparameterization import to_deploy_form
    from pplcnet.prediction import Prediction
    from pplcnet.preprocessing import Preprocessing
    from pplcnet.runtime.classifier import Classifier
    from pplcnet.training.fitting import train
    from pplcnet.training.recipe import Recipe
    from pplcnet.weights.bundled import restore_model
    from pplcnet.weights.conversion import convert

_PLACES = {
    "Bundle": "bundle",
    "Classifier": "runtime.classifier",
    "Dataset": "dataset",
    "PPLCNetError": "errors",
    "Prediction": "prediction",
    "Preprocessing": "preprocessing",
    "Recipe": "training.recipe",
    "audit": "auditing",
    "calibrate": "deployment.calibrating",
    "convert": "weights.conversion",
    "create_model": "models.creation",
    "evaluate": "evaluation",
    "export": "deployment.exporting",
    "export_litert": "deployment.litert",
    "quantize": "deployment.quantization",
    "restore_model": "weights.bundled",
    "run_job": "job",
    "to_deploy_form": "models.reparameterization",
    "train": "training.fitting",
    "tune": "deployment.tuning",
}
# The part whose absence of a framework has to be explained.
_NEEDS_TRAINING = (
    "models.",
    "deployment.exporting",
    "deployment.litert",
    "training.fitting",
    "weights",
)

__all__ = [
    "Bundle",
    "Classifier",
    "Dataset",
    "PPLCNetError",
    "Prediction",
    "Preprocessing",
    "Recipe",
    "audit",
    "calibrate",
    "convert",
    "create_model",
    "evaluate",
    "export",
    "export_litert",
    "quantize",
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
