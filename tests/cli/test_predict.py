"""What `predict` takes, and what it prints for photos that cannot be read."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pplcnet.cli.drawing import _written
from pplcnet.cli.main import main
from pplcnet.errors import DatasetError
from pplcnet.runtime.classifier import Classifier
from pplcnet.system.wording import printable


def _predict(
    capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0
) -> tuple[str, str]:
    assert main(["predict", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    return out, err


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")
    return path


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_every_format_has_a_record_for_a_broken_photo(
    capsys, common_bundle: Path, broken: Path, count: int, options: tuple[str, ...]
) -> None:
    given = [common_bundle, *[broken] * count, *options]
    out, err = _predict(capsys, *given, code=1)
    assert out.count(f"{broken}: error: not an image") == count
    assert err == f"{count} of {count} photo{'s' * (count > 1)} could not be read.\n"
    out, _ = _predict(capsys, *given, "--json", code=1)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["path"] for record in records] == [str(broken)] * count
    assert all(record["error"].startswith("not an image") for record in records)
    out, _ = _predict(capsys, *given, "--csv", code=1)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["path"] for row in rows] == [str(broken)] * count
    assert all(row["error"].startswith("not an image") and not row["label"] for row in rows)


def test_a_broken_photo_among_others_counts_only_when_strict(
    capsys, common_bundle: Path, common_photos: Path, broken: Path
) -> None:
    given = [common_bundle, broken, common_photos]
    out, err = _predict(capsys, *given)
    assert len(out.splitlines()) == 37
    assert err == "1 of 37 photos could not be read.\n"
    _predict(capsys, *given, "--strict", code=1)
    _predict(capsys, *given[:1], *given[2:], "--strict")


def test_a_run_folder_stands_for_its_bundle(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(common_bundle, tmp_path / "run" / "model.bundle")
    photo = common_photos / "class_0" / "000.png"
    assert _predict(capsys, tmp_path / "run", photo) == _predict(capsys, common_bundle, photo)
    assert main(["inspect", str(tmp_path / "run")]) == 0
    assert str(tmp_path / "run" / "model.bundle") in capsys.readouterr().out


def test_a_run_without_a_bundle_is_told_from_a_wrong_folder(capsys, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    for verb in (["predict", str(tmp_path), "a.jpg"], ["inspect", str(tmp_path)]):
        assert main(verb) == 2
        assert f"finish it with: pplcnet train --resume --out {tmp_path}" in capsys.readouterr().err


def test_photos_may_come_before_or_after_options(
    capsys, common_bundle: Path, common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sorted((common_photos / "class_0").iterdir())[:2]
    wanted = _predict(capsys, common_bundle, first, second, "--json")
    assert _predict(capsys, common_bundle, first, "--json", second) == wanted
    assert _predict(capsys, common_bundle, "--photos", first, second, "--json") == wanted
    assert _predict(capsys, "--json", "--", common_bundle, first, second) == wanted


def test_names_that_start_with_a_dash_follow_two_dashes(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path, monkeypatch
) -> None:
    shutil.copy(common_photos / "class_0" / "000.png", tmp_path / "-x.png")
    monkeypatch.chdir(tmp_path)
    out, _ = _predict(capsys, common_bundle, "--csv", "--", "-x.png")
    assert [row["path"] for row in csv.DictReader(io.StringIO(out))] == ["./-x.png"]


@pytest.mark.parametrize("name", ["a\x1b[31mb.png", "a\nb.png", "a\x9b1mb.png", "a\u202egnp.png"])
def test_a_hostile_name_is_escaped_as_text_and_exact_as_data(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    shutil.copy(common_photos / "class_0" / "000.png", path)
    out, _ = _predict(capsys, common_bundle, path)
    assert out.startswith(f"{printable(str(path))}: class_")
    assert out.count("\n") == 1
    out, _ = _predict(capsys, common_bundle, path, "--json")
    assert json.loads(out)["path"] == str(path)
    assert printable(out.strip()) == out.strip()
    out, _ = _predict(capsys, common_bundle, path, "--csv")
    assert [row["path"] for row in csv.DictReader(io.StringIO(out, newline=""))] == [str(path)]


@pytest.mark.parametrize("url", ["https://example.org/a.jpg", "ftp://example.org/a", "s3://b/c"])
def test_a_url_is_refused_in_one_sentence(capsys, common_bundle: Path, url: str) -> None:
    _, err = _predict(capsys, common_bundle, url, code=2)
    assert err.startswith(f"error: {url}: URLs are not fetched; ")
    assert err.count("\n") == 1


def _piped(content: bytes, *arguments: object, **environment: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "pplcnet", "predict", *map(str, arguments)],
        input=content, capture_output=True, timeout=60, check=False, env=os.environ | environment,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_stdin_holds_one_photo(capsys, common_bundle: Path, common_photos: Path) -> None:
    photo = common_photos / "class_0" / "000.png"
    code, out, err = _piped(photo.read_bytes(), common_bundle, "-", "--json")
    assert (code, err) == (0, b"")
    wanted = json.loads(_predict(capsys, common_bundle, photo, "--json")[0])
    assert json.loads(out) == wanted | {"path": "stdin"}
    code, out, err = _piped(b"no image", common_bundle, "-")
    assert code == 1
    assert out.startswith(b"stdin: error: not an image")
    code, out, err = _piped(b"", common_bundle, "-")
    assert (code, out, err.count(b"\n")) == (2, b"", 1)
    assert b"stdin is empty" in err


def test_stdin_is_not_mixed_with_files(capsys, common_bundle: Path, broken: Path) -> None:
    _, err = _predict(capsys, common_bundle, "-", broken, code=2)
    assert "cannot be mixed" in err


def test_a_narrow_encoding_loses_no_row(
    common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    for name in ("a.png", "b 日本語.png", "c.png"):
        shutil.copy(common_photos / "class_0" / "000.png", tmp_path / name)
    for encoding in ("cp1252", "ascii"):
        for options in ("--csv", "--json", "--top-k=1"):
            code, out, err = _piped(
                b"", common_bundle, tmp_path, options, PYTHONIOENCODING=encoding
            )
            assert (code, err) == (0, b"")
            assert len(out.splitlines()) == 3 + (options == "--csv")
            if options == "--json":
                names = [json.loads(line)["path"] for line in out.decode(encoding).splitlines()]
                assert names[1] == str(tmp_path / "b 日本語.png")


def test_an_exported_network_alone_is_enough(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    network = Path(shutil.copy(common_bundle / "model.onnx", tmp_path / "alone.onnx"))
    photo = common_photos / "class_1" / "000.png"
    alone = json.loads(_predict(capsys, network, photo, "--json")[0])
    whole = json.loads(_predict(capsys, common_bundle, photo, "--json")[0])
    assert alone["path"] == whole["path"]
    assert alone["predictions"][0]["label"] == whole["predictions"][0]["label"]


def test_predict_answers_what_it_can_reach_and_names_the_rest(
    capsys, common_bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "class_0" / "IMG.DNG").touch()
    os.mkfifo(photos / "class_0" / "pipe.png")
    (photos / "class_0" / "self").symlink_to(".")
    scan = os.scandir

    def scandir(folder):
        if Path(folder) == photos / "class_1":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert main(["predict", str(common_bundle), str(photos)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 24
    assert "2 files were ignored (1 .dng, 1 of a special type (pipe, socket or device))" in err
    assert "class_1 (Permission denied)" in err
    answers = Classifier(common_bundle).predict_many(photos)
    assert sum(1 for _, _ in zip(range(24), answers, strict=False)) == 24
    with pytest.raises(DatasetError, match="1 folder in it cannot be read"):
        next(answers)


def test_photos_of_like_names_do_not_replace_each_others_files(tmp_path: Path) -> None:
    sources = ["x/a.jpg", "y/a.png", "z/a-2.jpg", "w/a.gif", "v/a-2.bmp"]
    predictions = [SimpleNamespace(source=each, error=None) for each in sources]

    def write(prediction: SimpleNamespace, path: Path) -> None:
        path.write_text(prediction.source)

    list(_written(predictions, tmp_path, lambda _: ".png", write))
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == sorted(sources)
