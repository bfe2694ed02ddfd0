"""What the verbs print, in every form, for sound input."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.models.catalog import CATALOG, DETECTORS


def _run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main([str(each) for each in arguments]) == code
    return capsys.readouterr().out


def test_predict_a_file(capsys, common_bundle: Path, common_photos: Path) -> None:
    path = common_photos / "class_0" / "000.png"
    line = _run(capsys, "predict", common_bundle, path)
    assert line.startswith(f"{path}: class_")
    assert line.count("\n") == 1
    assert _run(capsys, "predict", common_bundle, path, "--top-k", 3).count("class_") == 4


def test_predict_folders_as_json_and_csv(capsys, common_bundle: Path, common_photos: Path) -> None:
    given = [common_photos / "class_0", common_photos / "class_1" / "002.png"]
    lines = _run(capsys, "predict", common_bundle, *given, "--json", "--top-k", 2).splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 13
    assert records[-1]["path"] == str(given[1])
    assert all(len(record["predictions"]) == 2 for record in records)
    text = _run(capsys, "predict", common_bundle, *given, "--csv", "--top-k", 2)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 26
    flat = [score for record in records for score in record["predictions"]]
    for row, score in zip(rows, flat, strict=True):
        assert row["label"] == score["label"]
        assert float(row["probability"]) == pytest.approx(score["probability"], abs=2e-6)


def test_evaluate_writes_its_files(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    text = _run(capsys, "evaluate", common_bundle, common_photos, "--out", out)
    assert "top-1" in text
    assert "class_2" in text
    assert {path.name for path in out.iterdir()} == {
        "evaluation.json", "evaluation.md", "per_class.csv", "confusion.csv", "mistakes.csv",
        "confusion.png",
    }  # fmt: skip
    text = _run(capsys, "evaluate", common_bundle, common_photos, "--out", out, "--json")
    assert json.loads(text) == json.loads((out / "evaluation.json").read_text())


def test_export_and_inspect(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(common_bundle, tmp_path / "copy.bundle")
    packed = tmp_path / "packed.zip"
    text = _run(capsys, "export", copy, "--images", common_photos, "--batch", "dynamic",
                "--pack", packed)  # fmt: skip
    assert "100.0% of the predictions agree" in text
    assert Bundle.open(packed).variant("onnx")["batch"] is None
    text = _run(capsys, "inspect", packed)
    for part in (
        "class_0, class_1, class_2",
        "32x32",
        "all checksums match",
        "parity",
        "temperature    1",
        "batch: any size",
        "mean 0.485, 0.456, 0.406; std 0.229, 0.224, 0.225 (RGB from 0 to 1)",
    ):
        assert part in text
    assert "started from" not in text  # which is known of what was trained here alone
    manifest = json.loads(_run(capsys, "inspect", packed, "--json"))
    assert manifest["variants"]["onnx"]["parity"]["agreement"] == 1.0


def _as_of_a_run(bundle: Path, photos: Path, folder: Path) -> Path:
    """A copy of the bundle in a run's folder, whose split.csv holds every fourth photo out."""
    copy = shutil.copytree(bundle, folder / "model.bundle")
    rows = [
        f"{image.path.resolve()},class_{image.shown[0]},{'train' if at % 4 else 'test'}"
        for at, image in enumerate(Dataset.open(photos).images)
    ]
    (folder / "split.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return copy


def test_evaluate_takes_what_the_run_held_out(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    bundle = _as_of_a_run(common_bundle, common_photos, tmp_path / "run")
    assert main(["evaluate", str(bundle), str(common_photos)]) == 0
    assert "(split.csv of its run)" in capsys.readouterr().out
    own = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert own["images"] == 9
    assert main(["evaluate", str(bundle), str(common_photos), "--split", "all"]) == 0
    assert "27 of these 36 photos were trained on" in capsys.readouterr().err
    other = tmp_path / "run" / f"evaluation-{common_photos.name}" / "evaluation.json"
    assert json.loads(other.read_text())["images"] == 36
    assert json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text()) == own


def test_an_evaluation_never_replaces_one_of_another_split_or_of_other_photos(
    capsys, common_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = _as_of_a_run(common_bundle, photos, tmp_path / "run")
    listed = bundle.parent / "split.csv"
    header, *rows = listed.read_text().splitlines()
    some = [row.replace(",train", ",validation") for row in rows[1::4]]
    listed.write_text("\n".join([header, *rows[::4], *rows[2::4], *rows[3::4], *some]) + "\n")
    part = tmp_path / "a" / "photos.csv"
    part.parent.mkdir()
    part.write_text("\n".join([header, *rows[0:16:4]]) + "\n")
    other = tmp_path / "b" / "photos.csv"
    other.parent.mkdir()
    other.write_text("\n".join([header, *rows[0:24:4]]) + "\n")
    given = {
        "evaluation": [photos],
        "evaluation-validation": [photos, "--split", "validation"],
        "evaluation-train": [photos, "--split", "train"],
        "evaluation-photos": [photos, "--split", "all"],
        "evaluation-photos-test": [part],
        "evaluation-photos-test-2": [other],
    }
    for _ in range(2):
        for arguments in given.values():
            _run(capsys, "evaluate", bundle, *arguments)
    found = {
        each.parent.name: json.loads(each.read_text())
        for each in bundle.parent.glob("*/evaluation.json")
    }
    assert set(found) == set(given)
    assert [found[name]["images"] for name in given] == [9, 9, 18, 36, 4, 6]
    splits = ["test", "validation", "train", "all", "test", "test"]
    assert [found[name]["split"] for name in given] == splits
    assert found["evaluation-photos-test"]["photos"] == str(part.resolve())
    assert "On the test split of" in (bundle.parent / "evaluation" / "evaluation.md").read_text()


def test_a_report_says_when_guessing_would_do_as_well(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    _run(capsys, "report", common_bundle, common_photos, "--out", page)
    assert "<b>Warning:</b> accuracy" in page.read_text()
    assert "warning: accuracy" in _run(
        capsys, "evaluate", common_bundle, common_photos, "--out", tmp_path / "out"
    )


def test_packing_keeps_every_variant_and_the_tuning(
    capsys, common_bundle: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(common_bundle, tmp_path / "copy.bundle")
    bundle = Bundle.open(copy)
    content = bundle.read(str(bundle.variant("onnx")["file"]))
    update_bundle(
        bundle,
        files={"int8.onnx": content},
        variants={"int8": {"file": "int8.onnx"}},
    )
    packed = tmp_path / "packed.zip"
    assert "packed" in _run(capsys, "export", copy, "--pack", packed)
    assert set(Bundle.open(packed).manifest.variants) == {"keras", "onnx", "int8"}
    assert main(["export", str(copy), "--pack", str(packed)]) == 2
    assert "already holds a bundle" in capsys.readouterr().err
    assert "packed" in _run(capsys, "export", copy, "--pack", packed, "--overwrite")
    again = _run(capsys, "export", copy, "--images", _photo(tmp_path))
    assert "removed     int8.onnx" in again


def _photo(folder: Path) -> Path:
    path = folder / "photo.png"
    Image.new("RGB", (40, 40), (200, 30, 60)).save(path)
    return path


def test_photos_that_have_moved_are_counted_in_one_sentence(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys
) -> None:
    photos = shutil.copytree(common_photos, tmp_path / "photos")
    bundle = _as_of_a_run(common_bundle, photos, tmp_path / "run")
    provenance = {"dataset": {"photos": str(photos)}}
    update_bundle(Bundle.open(bundle), provenance=provenance)
    shutil.rmtree(photos)
    assert main(["export", str(bundle)]) == 2
    said = capsys.readouterr().err
    assert "36 of the photos that" in said
    assert "--photos FOLDER" in said
    assert len(said.splitlines()) == 1


def test_models_lists_the_catalog(capsys) -> None:
    text = _run(capsys, "models")
    rows = json.loads(_run(capsys, "models", "--json"))
    assert [row["name"] for row in rows] == list(CATALOG)
    assert all(name in text for name in CATALOG)
    assert rows[4]["weights"] == ["imagenet", "imagenet-ssld", "timm"]


def test_models_filters_and_sorts(capsys) -> None:
    rows = json.loads(_run(capsys, "models", "--family", "ghostnet", "--json"))
    assert {row["family"] for row in rows} == {"ghostnet"}
    rows = json.loads(_run(capsys, "models", "--max-macs", "50", "--sort", "macs", "--json"))
    macs = [row["macs_224"] for row in rows]
    assert macs == sorted(macs)
    assert macs[-1] <= 50e6
    rows = json.loads(_run(capsys, "models", "--sort", "top1", "--json"))
    assert rows[0]["name"] == "pplcnetv2_base"


def test_models_lists_detectors_with_their_weights(capsys) -> None:
    lines = _run(capsys, "models").splitlines()
    (line,) = [each for each in lines if each.startswith("picodet_l ")]
    assert line.split()[-4:] == ["pplcnet_x2_0", "coco,", "coco-416,", "coco-640"]
    assert _run(capsys, "models", "--family", "picodet").splitlines()[0].startswith("detector")
    rows = json.loads(_run(capsys, "models", "--family", "picodet", "--json"))
    assert [row["name"] for row in rows] == list(DETECTORS)
    assert rows[0]["weights"] == ["coco", "coco-416"]
    assert rows[0]["reported_ap"] == {"320": 0.235, "416": 0.262}


def test_models_lists_segmenters_with_their_backbones(capsys) -> None:
    lines = _run(capsys, "models").splitlines()
    (line,) = [each for each in lines if each.startswith("mobileseg_pplcnet_x0_5 ")]
    assert line.split() == [
        "mobileseg_pplcnet_x0_5", "0.48", "M", "617.4", "M", "pplcnet_x0_5"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["models", "--family", "picodet", "--sort", "top1"], "--sort are for classifiers"),
        (
            ["pretrain", "--model", "picodet_xs", "--out", "x.npz"],
            "picodet_xs is a network for detection, but a classifier is needed here, such as the "
            "one with its backbone: pplcnet_x0_35",
        ),
    ],
)
def test_a_detector_where_a_classifier_belongs_is_called_one(
    command: list[str], complaint: str, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert complaint in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error(common_bundle: Path, common_photos: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "pplcnet", "predict", common_bundle, *[common_photos] * 30]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait()
    assert process.returncode == 0
