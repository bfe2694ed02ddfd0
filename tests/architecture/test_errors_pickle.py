"""Errors cross the border between processes whole."""

from __future__ import annotations

import copy
import pickle

import pytest

from pplcnet import errors

ERRORS = [
    errors.InputError("one"),
    errors.UnknownNameError("network", "pplcnet_x1", ["pplcnet_x1_0"]),
    errors.DatasetError("all of it", ["a", "b"]),
    errors.ImageError("a.jpg", "is broken"),
    errors.RecipeError("fields", ["x"]),
    errors.TrainingDiverged("NaN loss"),
    errors.BundleError("damaged"),
    errors.WeightsError("other shapes"),
    errors.ConversionError("too far"),
    errors.MissingDependencyError("not installed"),
    errors.TrainingInterrupted("stopped", "runs/first"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_copying(error: errors.PPLCNetError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)
        assert again.args == error.args
