"""pplcnet embed: photos in, a file of vectors out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pplcnet.cli.main import main
from pplcnet.runtime.model import Model


def test_the_file_holds_what_embed_gives(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "v.npy"
    photo, broken = common_photos / "class_0" / "000.png", tmp_path / "broken.jpg"
    broken.write_text("no photo")
    folder = str(common_photos / "class_1")
    assert (
        main(["embed", str(common_bundle), str(photo), str(broken), folder, "--out", str(out)]) == 0
    )
    said = capsys.readouterr()
    assert "13 vectors of 1280 numbers each" in said.out
    assert "1 of 14 photos could not be read." in said.err
    assert "broken.jpg: not an image" in said.err
    with Model(common_bundle) as model:
        np.testing.assert_allclose(np.load(out)[0], model.embed(photo), atol=1e-6)
        assert main(["embed", str(common_bundle), str(photo), "--out", str(out), "--raw"]) == 0
        raw = model.embed(photo, normalize=False)
        np.testing.assert_allclose(np.load(out)[0], raw, rtol=1e-4, atol=1e-5)


def test_no_readable_photo_is_exit_code_1(common_bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no photo")
    assert main(["embed", str(common_bundle), str(broken), "--out", str(tmp_path / "v.npy")]) == 1
    assert not (tmp_path / "v.npy").exists()


def test_wrong_input_is_one_line(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = str(common_photos), tmp_path / "v.npy"
    cases = {
        "ends in .parquet or .npy": [str(common_bundle), photos, "--out", str(tmp_path / "v")],
        "no photos given; give files or folders.": [str(common_bundle), "--out", str(out)],
        "download the photo first.": [str(common_bundle), "http://x/y.jpg", "--out", str(out)],
        "does not read stdin": [str(common_bundle), "-", "--out", str(out)],
        "no such file": [str(common_bundle), str(tmp_path / "gone"), "--out", str(out)],
        "no such bundle": [str(tmp_path / "gone"), photos, "--out", str(out)],
    }
    for said, arguments in cases.items():
        assert main(["embed", *arguments]) == 2
        error = capsys.readouterr().err.strip()
        assert said in error
        assert error.startswith("error: ")
        assert "\n" not in error


def test_old_bundles_are_told_to_export(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.runtime.test_embedding import export_without_embedding

    path = Path(shutil.copytree(common_bundle, tmp_path / "old.bundle"))
    export_without_embedding(path)
    out = tmp_path / "v.npy"
    assert main(["embed", str(path), str(common_photos), "--out", str(out)]) == 2
    assert f"'pplcnet export {path}' exports it again" in capsys.readouterr().err
    assert not out.exists()
