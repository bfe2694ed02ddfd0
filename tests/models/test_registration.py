"""Keras finds our layers, whichever of the two is imported first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pplcnet.models.build import build_model


@pytest.mark.usefixtures("shallow_networks")
@pytest.mark.parametrize(
    "lines",
    [
        "import pplcnet, keras",
        pytest.param("import keras, pplcnet", marks=pytest.mark.slow),
        pytest.param(
            "import pplcnet; from keras.models import load_model; import keras",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_keras_loads_our_models_whatever_is_imported_first(tmp_path: Path, lines: str) -> None:
    saved = tmp_path / "m.keras"
    build_model("pplcnet_x0_25", num_classes=3, image_size=32).save(saved)
    code = f"{lines}\nprint(keras.models.load_model({str(saved)!r}).name, keras.__spec__.loader)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("pplcnet_x0_25")
    assert "SourceFileLoader" in ended.stdout  # the hook is gone


def test_checking_for_keras_does_not_load_it() -> None:
    code = (
        "import importlib.util, sys, pplcnet\n"
        "assert importlib.util.find_spec('keras') is not None\n"
        "assert importlib.util.find_spec('keras').origin.endswith('__init__.py')\n"
        "assert 'keras' not in sys.modules and 'numpy' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
