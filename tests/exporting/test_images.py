"""Photos to compare, calibrate and judge on: which are taken, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import BundleError, InputError
from pplcnet.exporting.calibrating import calibrate
from pplcnet.exporting.images import evenly_chosen, match_validation
from pplcnet.exporting.quantization import quantize
from pplcnet.exporting.tuning import tune
from tests.conftest import write_photos


@pytest.mark.parametrize(("count", "limit"), [(599, 300), (300, 300), (7, 300), (3999, 2000)])
def test_photos_are_chosen_from_the_first_to_the_last_class(count: int, limit: int) -> None:
    chosen = evenly_chosen(range(count), limit)
    assert len(chosen) == len(set(chosen)) == min(count, limit)
    assert chosen[0] == 0
    assert chosen[-1] >= count - 1 - count // limit


def test_validation_classes_in_another_order_are_put_into_the_bundles(
    common_bundle: Path, validation: Dataset, turned: Dataset
) -> None:
    matched = match_validation(Bundle.open(common_bundle), turned)
    assert (matched.classes, matched.images) == (validation.classes, validation.images)


@pytest.mark.parametrize("function", [quantize, tune])
def test_wrong_input_is_named(function, bundle: Path, validation: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_drop is 2"):
        function(bundle, validation, max_drop=2)
    others = Dataset.open(write_photos(tmp_path / "others", classes=2))
    with pytest.raises(InputError, match="the bundle has class_0, class_1, class_2"):
        function(bundle, others)
    opened = Bundle.open(bundle)
    keras_only = replace(opened.manifest, variants={"keras": opened.variant("keras")})
    (bundle / "manifest.json").write_text(keras_only.to_json())
    with pytest.raises(BundleError, match="pplcnet export"):
        function(bundle, validation)


@pytest.mark.parametrize("function", [quantize, tune, calibrate])
def test_a_packed_bundle_is_refused_before_the_work(
    function, bundle: Path, validation: Dataset, tmp_path: Path
) -> None:
    packed = Bundle.open(bundle).pack(tmp_path / "a.zip")
    with pytest.raises(BundleError, match="unpack it into a folder first"):
        function(packed, validation)
