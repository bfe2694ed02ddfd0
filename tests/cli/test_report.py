"""The report of a bundle, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.cli.main import main


def test_a_bundle_away_from_its_run_may_have_been_trained_on_the_photos(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(common_bundle), str(common_photos), "--out", str(page)]) == 0
    assert "the bundle was trained on photos of this folder" in capsys.readouterr().err
    assert "The bundle was trained on photos of this folder" in page.read_text()


def test_photos_that_were_trained_on_are_no_near_duplicates(run: Path, photos: Path) -> None:
    page = run / "page.html"
    arguments = ["report", str(run / "model.bundle"), str(photos), "--split", "all"]
    assert main([*arguments, "--out", str(page)]) == 0
    text = page.read_text()
    assert "<b>18 of these photos were trained on</b>" in text
    assert "<b>18 of the reported photos are training photos themselves.</b> The rest" in text
    assert main([*arguments[:-1], "train", "--out", str(page)]) == 0
    text = page.read_text()
    assert "<b>18 of the reported photos are training photos themselves.</b></p>" in text
    assert "of 256 bits differ" not in text


def test_a_temperature_of_one_can_be_a_fitted_one(run: Path, photos: Path) -> None:
    bundle, page = Bundle.open(run / "model.bundle"), run / "page.html"
    facts = {"temperature": 1.0, "images": 9, "error_before": 0.1, "error_after": 0.1}
    update_bundle(bundle, calibration=facts)
    assert main(["report", str(bundle.path), str(photos), "--out", str(page)]) == 0
    assert "no temperature was fitted" not in page.read_text()
    assert "after (temperature 1.00)" in page.read_text()


@pytest.mark.parametrize("content", ["garbage\n", "", "path,label\nx,y\n"])
def test_a_list_that_is_not_of_suspects_is_refused(
    capsys, run: Path, photos: Path, content: str
) -> None:
    listed = run / "listed.csv"
    listed.write_text(content)
    given = ["report", str(run / "model.bundle"), str(photos), "--out", str(run / "page.html")]
    assert main([*given, "--suspects", str(listed)]) == 2
    assert "--suspects takes the suspects.csv" in capsys.readouterr().err
