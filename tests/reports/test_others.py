"""How well other photos are told from labelled ones, in the evaluation and in the report."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError
from pplcnet.exporting.calibrating import calibrate
from pplcnet.metrics.open_set import area_under_roc
from pplcnet.reports.others import compare_with_others
from pplcnet.runtime.model import Model


@pytest.fixture(scope="module")
def calibrated(
    common_bundle: Path, common_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("typical") / "x.bundle"
    shutil.copytree(common_bundle, path)
    calibrate(path, Dataset.open(common_photos), training=list(find_images(common_photos))[::2])
    return path


@pytest.fixture
def others(tmp_path: Path) -> Path:
    folder = tmp_path / "others"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(6):
        pixels = generator.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_text("no photo")
    return folder


def test_the_figures_are_those_of_the_typicalities(
    calibrated: Path, common_photos: Path, others: Path
) -> None:
    with Model(calibrated) as model:
        predictions = list(model.predict_many(common_photos))
        found = compare_with_others(model, predictions, others)
        known = np.array([each.typicality for each in predictions])
        strange = [each.typicality for each in model.predict_many(others) if not each.error]
    assert found.photos == 6
    assert found.auroc == area_under_roc(known, np.array(strange))
    assert "against 6 other photos" in found.to_text()
    assert found.to_dict()["fpr_at_95_tpr"] == found.fpr_at_95_tpr


def test_evaluate_says_it_and_keeps_it(
    calibrated: Path,
    common_photos: Path,
    others: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "evaluation"
    given = [str(calibrated), str(common_photos), "--out", str(out), "--others", str(others)]
    assert main(["evaluate", *given]) == 0
    assert "against 6 other photos" in capsys.readouterr().out
    kept = json.loads((out / "evaluation.json").read_text())["others"]
    assert kept["photos"] == 6
    assert 0 <= kept["auroc"] <= 1


def test_predict_prints_the_typicality_as_json(
    calibrated: Path, common_photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(common_photos / "class_0" / "000.png")
    assert main(["predict", str(calibrated), photo, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert 0 < values["typicality"] <= 1
    assert values["is_strange"] is False


def test_predict_has_a_column_for_the_typicality_where_it_is_known(
    calibrated: Path, common_bundle: Path, common_photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(common_photos / "class_0" / "000.png")
    assert main(["predict", str(calibrated), photo, "--csv", "--top-k", "2"]) == 0
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    with Model(calibrated) as model:
        assert first["typicality"] == second["typicality"]
        assert float(first["typicality"]) == pytest.approx(
            model.predict(photo).typicality or 0, abs=1e-6
        )
    assert main(["predict", str(common_bundle), photo, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "path,rank,label,probability,error"


def test_what_cannot_be_compared_is_said_first(
    calibrated: Path,
    common_bundle: Path,
    common_photos: Path,
    others: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    with Model(calibrated) as model, Model(common_bundle) as before:
        for one, folder, said in (
            (model, tmp_path / "gone", "no such folder"),
            (model, tmp_path / "empty", "no photos in this folder"),
            (before, others, "does not know what is typical"),
        ):
            with pytest.raises(InputError, match=said):
                compare_with_others(one, [], folder)
        for path in list(find_images(others))[:6]:
            path.write_text("broken")
        with pytest.raises(InputError, match="none of its photos can be read"):
            compare_with_others(model, [], others)
    given = [str(common_bundle), str(common_photos), "--others", str(others)]
    assert main(["evaluate", *given]) == 2
    assert "'pplcnet calibrate' measures it" in capsys.readouterr().err
