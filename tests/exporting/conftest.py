"""A bundle that may be changed, and photos that decide on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.exporting import int8, int8_search, quantization, tuning_table
from pplcnet.exporting.int8 import PostTraining
from pplcnet.runtime.classifier import Classifier
from tests.conftest import write_photos


@pytest.fixture
def bundle(tmp_path: Path, common_bundle: Path) -> Path:
    return Path(shutil.copytree(common_bundle, tmp_path / "a.bundle"))


@pytest.fixture
def quick_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast anything is, is not tested: one turn each is enough."""
    for module in (tuning_table, int8_search):
        monkeypatch.setattr(module, "ROUNDS", 1)


@pytest.fixture(scope="session")
def quantized() -> dict[tuple[object, ...], PostTraining]:
    """The networks that were quantised so far, by all that they were made of."""
    return {}


@pytest.fixture
def quantized_once(
    quantized: dict[tuple[object, ...], PostTraining], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same network with the same photos in the same way is not quantised again."""

    def once(content: bytes, ranges: np.ndarray, *choices: Any) -> PostTraining:
        made_of = (content, ranges.tobytes(), *choices)
        if made_of not in quantized:
            quantized[made_of] = int8.quantize_network(content, ranges, *choices)
        return quantized[made_of]

    monkeypatch.setattr(quantization, "quantize_network", once)


@pytest.fixture(scope="session")
def validation_folder(tmp_path_factory: pytest.TempPathFactory, common_bundle: Path) -> Path:
    """Photos labelled with what the network, which is random, answers: it is always right."""
    folder = tmp_path_factory.mktemp("validation")
    photos = write_photos(folder / "drawn", each=10)
    labelled = folder / "validation"
    paths = sorted(photos.rglob("*.png"))
    predictions = Classifier(common_bundle).predict_many(paths)
    answers = {
        path: prediction.best.label for path, prediction in zip(paths, predictions, strict=True)
    }
    for label in ("class_0", "class_1", "class_2"):
        (labelled / label).mkdir(parents=True)
        # A class that the network never answers still has to be there.
        shutil.copy(photos / label / "000.png", labelled / label / "given.png")
    for path, label in answers.items():
        shutil.copy(path, labelled / label / f"{path.parent.name}_{path.name}")
    return labelled


@pytest.fixture
def validation(validation_folder: Path) -> Dataset:
    return Dataset.open(validation_folder)


@pytest.fixture
def turned(validation: Dataset) -> Dataset:
    """The same photos with their classes in the opposite order."""
    turned = validation.with_classes(validation.classes[::-1])
    assert turned.classes != validation.classes
    return turned
