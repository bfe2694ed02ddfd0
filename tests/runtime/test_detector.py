"""The published PicoDet-XS finds what the original finds in four photos, by every way there is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from PIL import Image

import pplcnet
from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.cli.main import main
from pplcnet.errors import BundleError, ImageError, InputError
from pplcnet.exporting.export import export
from pplcnet.exporting.litert import export_litert
from pplcnet.exporting.parity import in_full_precision, keras_outputs
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks import find
from pplcnet.tasks.detection.decoding import Detections
from pplcnet.tasks.detection.head import build_picodet
from pplcnet.tasks.detection.suppression import FoundBoxes, overlaps
from pplcnet.weights.bundled import KERAS_FILE, pack_weights, restore_model
from pplcnet.weights.native import read_npz

PHOTOS = ("astronaut", "chelsea", "coffee", "grace_hopper")


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "reference/picodet/xs_320_coco"


@pytest.fixture(scope="module")
def golden(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "golden_photos.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def bundle(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("detector") / "picodet_xs.bundle"
    command = ["convert", folder / "weights_bnfolded.npz", "--model", "picodet_xs"]
    assert main([*map(str, [*command, "--photos", folder / "photos", "--out", place])]) == 0
    return place


def _check(found: Detections, expected: np.ndarray, least: float = 0.1) -> None:
    """`expected`: rows of class, score, box; boxes within 0.1 pixels of an input of 320."""
    sure = expected[expected[:, 1] > least]
    ours = found.above(least - 1e-3)
    assert len(ours) >= len(sure) > 0
    for label, score, *box in sure:
        (places,) = np.nonzero((ours.class_id == label) & (np.abs(ours.confidence - score) <= 1e-3))
        assert len(places), (label, score)
        shared = overlaps(np.float32([box]), ours.xyxy[places]).max()
        assert shared > 0.99, (label, score, box)


def test_the_converted_bundle_says_what_it_is(bundle: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    assert manifest.task == "detection"
    assert manifest.outputs == {"boxes": (2125, 4), "scores": (2125, 80)}
    assert manifest.classes[0] == "person"
    assert len(manifest.classes) == 80
    assert manifest.preprocessing.resize == "stretch"
    assert manifest.preprocessing.interpolation == "opencv-bicubic"
    parity = manifest.variants["onnx"]["parity"]
    assert parity["agreement"] == 1.0
    assert parity["outputs"]["boxes"]["largest_difference"] < 0.1
    assert parity["outputs"]["scores"]["largest_difference"] < 1e-3


def test_the_published_onnx_file_becomes_the_same_network_of_the_size_that_is_given(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(folder / "picodet_xs_320_lcnet_postprocessed.onnx")
    command = ["convert", file, "--out", str(tmp_path / "x.bundle")]
    assert main([*command, "--model", "picodet_s"]) == 2
    assert "is picodet_xs, not picodet_s" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--image-size", "12,5"])
    assert "'12,5' is not allowed" in capsys.readouterr().err
    assert main([*command, "--image-size", "96x64"]) == 0  # which network it is, it shows
    assert "96x64, stretch, opencv-bicubic" in capsys.readouterr().out
    made, expected = (Bundle.open(each) for each in (tmp_path / "x.bundle", bundle))
    assert made.manifest.outputs["boxes"] == (12 * 8 + 6 * 4 + 3 * 2 + 2 * 1, 4)
    assert made.manifest.classes == expected.manifest.classes
    one, other = (read_npz(each.read(each.variant("keras")["file"])) for each in (made, expected))
    assert one.keys() == other.keys()
    for name, array in other.items():
        np.testing.assert_array_equal(one[name], array, err_msg=name)


def test_inspect_shows_what_a_detector_decodes_with_alone(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert "task           detection" in said
    assert "temperature" not in said


def test_keras_gives_the_originals_boxes_and_scores(
    bundle: Path, golden: dict[str, np.ndarray]
) -> None:
    opened = Bundle.open(bundle)
    pixels = np.stack([golden[f"{name}:resized_rgb"] for name in PHOTOS])
    with in_full_precision():
        outputs = keras_outputs(restore_model(opened), opened.manifest, pixels)
    _check_outputs(outputs, golden)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_give_the_originals_boxes_scores_and_objects(
    bundle: Path, folder: Path, golden: dict[str, np.ndarray], engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    pixels = np.stack([golden[f"{name}:resized_rgb"] for name in PHOTOS])
    with pplcnet.Detector(bundle, engine=engine) as detector:
        _check_outputs(detector.run(pixels), golden)
        pngs = [name for name in PHOTOS if name != "grace_hopper"]
        photos = [folder / f"photos/{name}.png" for name in pngs]
        for name, found in zip(pngs, detector.predict_many(photos), strict=True):
            _check(found, golden[f"{name}:detections"])


def _check_outputs(outputs: dict[str, np.ndarray], golden: dict[str, np.ndarray]) -> None:
    for at, name in enumerate(PHOTOS):
        boxes, scores = outputs["boxes"][at], outputs["scores"][at]
        assert np.abs(boxes - golden[f"{name}:boxes_320"]).max() < 0.1
        assert np.abs(scores.max(axis=-1) - golden[f"{name}:scores_max"]).max() < 1e-3
    expected = golden["astronaut:scores"]
    scores = outputs["scores"][0]
    expected = expected if expected.shape == scores.shape else expected.reshape(80, -1).T
    assert np.abs(scores - expected).max() < 1e-3


def test_predict_knows_the_network_by_its_name(
    folder: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path))
    shutil.copytree(bundle, tmp_path / "bundles/picodet_xs-coco.bundle")
    photo = str(folder / "photos/coffee.png")
    assert main(["predict", "picodet_xs_320", photo, "--json"]) == 0
    (table, cup) = json.loads(capsys.readouterr().out)["predictions"]
    assert (table["label"], cup["label"]) == ("dining table", "cup")
    assert cup["confidence"] == pytest.approx(0.759, abs=1e-3)
    assert main(["predict", "picodet_xs_320", photo, "--csv"]) == 0
    header, line, _ = capsys.readouterr().out.splitlines()
    assert header == "path,rank,label,confidence,x1,y1,x2,y2,error"
    assert line.split(",")[1:3] == ["1", "dining table"]
    assert main(["predict", "picodet_xs_320", photo]) == 0
    assert "cup 0.759 [165, 16, 420, 327]" in capsys.readouterr().out
    options = ["--confidence", "0.3", "--draw", str(tmp_path / "drawn")]
    assert main(["predict", "picodet_xs_320", photo, photo, *options]) == 0
    assert capsys.readouterr().out.count("bowl 0.311") == 2
    for name in ("coffee.jpg", "coffee-2.jpg"):
        with Image.open(tmp_path / "drawn" / name) as drawn, Image.open(photo) as original:
            assert drawn.size == original.size


def _annotations(folder: Path, photos: list[str], detector: pplcnet.Detector) -> dict:
    """COCO's form, with COCO's own ids, of what the detector is sure of in the photos."""
    classes = json.loads((folder / "coco_classes.json").read_text())
    ids = {row["name"]: row["coco_id"] for row in classes}
    images, annotations = [], []
    for at, name in enumerate(photos):
        images.append({"id": 100 + at, "file_name": name})
        for label, _, (x1, y1, x2, y2) in detector.predict(folder / "photos" / name).above(0.3):
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": 100 + at, "category_id": ids[label],
                    "bbox": box, "area": box[2] * box[3], "iscrowd": 0,
                }
            )  # fmt: skip
    categories = [{"id": key, "name": name} for name, key in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def test_cocos_results_are_read_by_pycocotools(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco, cocoeval = (pytest.importorskip(f"pycocotools.{each}") for each in ("coco", "cocoeval"))
    photos = ["astronaut.png", "chelsea.png", "coffee.png"]
    with pplcnet.Detector(bundle) as detector:
        (tmp_path / "truth.json").write_text(json.dumps(_annotations(folder, photos, detector)))
    command = ["predict", str(bundle), str(folder / "photos"), "--coco"]
    assert main([*command, "--coco-ids", str(tmp_path / "truth.json")]) == 0
    printed, said = capsys.readouterr()
    assert f"1 photo not in the file of --coco-ids, left out: {folder}/photos/grace" in said
    (tmp_path / "results.json").write_text(printed)
    truth = coco.COCO(str(tmp_path / "truth.json"))
    results = truth.loadRes(str(tmp_path / "results.json"))
    assert len(results.anns) > 3 * len(truth.anns)  # doubtful ones too
    judged = cocoeval.COCOeval(truth, results, "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    assert judged.stats[0] > 0.99
    capsys.readouterr()
    assert main([*command, "--confidence", "0.9"]) == 0
    (dining_table, person) = json.loads(capsys.readouterr().out)
    assert dining_table["image_id"] == "coffee.png"
    assert (person["image_id"], person["category_id"]) == ("grace_hopper.jpg", 1)
    assert main([*command, "--confidence", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_ids_that_do_not_belong_to_the_bundle_are_refused(
    bundle: Path, common_bundle: Path, folder: Path, tmp_path: Path, capsys
) -> None:
    photo = str(folder / "photos/coffee.png")
    ids = tmp_path / "ids.json"
    ids.write_text('{"images": [], "categories": [{"id": 7, "name": "person"}]}')
    for start, complaint in (
        ([str(bundle), photo, "--coco", "--coco-ids", str(ids)], "class 'bicycle' and 78 more"),
        ([str(bundle), photo, "--coco-ids", str(ids)], "--coco-ids needs --coco"),
        ([str(common_bundle), photo, "--coco"], "--coco is for detectors"),
    ):
        assert main(["predict", *start]) == 2
        assert complaint in capsys.readouterr().err


def test_tiles_find_what_is_small_in_a_large_photo(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = Image.new("RGB", (1600, 1200), "grey")
    places = ((100, 150), (1250, 950))
    for place in places:
        with Image.open(folder / "photos/chelsea.png") as photo:
            large.paste(photo.resize((300, 200)), place)
    large.save(tmp_path / "large.png")
    with pplcnet.Detector(bundle) as detector:
        assert "cat" not in detector.predict(large).above(0.4).labels
        found = detector.predict(large, tiles=400).above(0.4)
        assert found.labels == ("cat", "cat")
        cats = np.float32([(left, top, left + 300, top + 200) for left, top in places])
        assert overlaps(cats, found.xyxy).max(axis=1).min() > 0.7
        (many,) = detector.predict_many([tmp_path / "large.png"], tiles=(400, 400))
        assert many.source == str(tmp_path / "large.png")
        np.testing.assert_array_equal(many.above(0.4).xyxy, found.xyxy)
        np.testing.assert_array_equal(many.arrays()["xyxy"].shape, (many.most, 4))
    command = ["predict", str(bundle), str(tmp_path / "large.png"), "--tiles", "400", "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["label"] for row in printed] == list(found.labels)


def test_tiles_are_measured_as_they_are_predicted(
    bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = Image.new("RGB", (1600, 1200), "grey")
    with Image.open(folder / "photos/chelsea.png") as photo:
        large.paste(photo.resize((300, 200)), (100, 150))
    (tmp_path / "photos").mkdir()
    large.save(tmp_path / "photos/large.png")
    table = tmp_path / "photos/boxes.csv"
    table.write_text("path,label,x1,y1,x2,y2\nlarge.png,cat,110,150,395,350\n")
    copy = shutil.copytree(bundle, tmp_path / "run/x.bundle")
    figures = []
    for options in ([], ["--tiles", "400"], ["--tiles", "400", "--tile-overlap", "0.5"]):
        assert main(["evaluate", str(copy), str(table), "--json", *options]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert [each.get("looked") for each in figures] == [
        None, "tiles 400x400", "tiles 400x400, overlap 0.5",
    ]  # fmt: skip
    assert (figures[0]["recall"], figures[1]["recall"]) == (0, 1)
    assert sorted(each.name for each in copy.parent.iterdir()) == [
        "evaluation-boxes", "evaluation-boxes-tiles400x400",
        "evaluation-boxes-tiles400x400-overlap0.5", "x.bundle",
    ]  # fmt: skip
    text = (copy.parent / "evaluation-boxes-tiles400x400/evaluation.md").read_text()
    assert "boxes.csv, tiles 400x400." in text
    with pplcnet.Detector(copy) as detector:
        dataset = pplcnet.Dataset.open(table)
        again = pplcnet.evaluate(detector.with_options(tiles=400), dataset)
    assert again.figures()["box_map"] == figures[1]["box_map"]


def test_a_photo_of_one_tile_is_predicted_as_without(bundle: Path, folder: Path) -> None:
    with pplcnet.Detector(bundle) as detector:
        for name in ("coffee.png", "grace_hopper.jpg"):
            plain = detector.predict(folder / "photos" / name)
            tiled = detector.predict(folder / "photos" / name, tiles=700)
            assert (tiled.source, tiled.labels) == (plain.source, plain.labels)
            np.testing.assert_array_equal(tiled.xyxy, plain.xyxy)
            np.testing.assert_array_equal(tiled.confidence, plain.confidence)


@pytest.mark.slow
def test_a_hundred_megapixels_in_tiles_take_little_more_than_the_photo(
    bundle: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    patch = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(patch).resize((10_400, 9_700)).save(large)
    script = (
        "import resource, sys, numpy, pplcnet\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "detector = pplcnet.Detector(sys.argv[1])\n"
        "list(detector.predict_many([numpy.zeros((64, 64, 3), 'u1')]))\n"
        "before = peak()\n"
        "found = detector.predict(sys.argv[2], tiles=500)\n"
        "print(len(found), peak() - before)"
    )
    command = [sys.executable, "-c", script, str(bundle), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, megabytes = map(int, done.stdout.split())
    assert found > 0
    # Decoded by Pillow 400 MB, as an array 300 MB; its 700 tiles together would take as much again.
    assert megabytes < 900


def test_tiles_that_cannot_be_are_named(
    bundle: Path, common_bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(folder / "photos/coffee.png")
    with pplcnet.Detector(bundle) as detector:
        for tiles, complaint in (
            (16, "tiles of 16x16"),
            ("400", "tiles is '400'"),
            ((400, 400, 3), "tiles is"),
            (True, "tiles is True"),
            (400.5, "tiles is 400.5"),
        ):
            with pytest.raises(InputError, match=complaint):
                detector.predict(photo, tiles=tiles)
        with pytest.raises(InputError, match="an overlap of 1"):
            detector.predict(photo, tiles=400, overlap=1)
        with pytest.raises(InputError, match="an overlap of 'half'"):
            detector.predict(photo, tiles=400, overlap="half")
        with pytest.raises(InputError, match="confidence is '0\\.5'"):
            detector.predict(photo).above("0.5")
        with pytest.raises(InputError, match="most is -1; it must be a whole number"):
            detector.predict(photo).rows(-1)
        with pytest.raises(ImageError, match="is not a file; give the photo that was predicted"):
            detector.predict(np.zeros((50, 50, 3), np.uint8)).draw()
        with pytest.raises(BundleError, match="its task is detection, which has no embedding"):
            detector.embed(photo)
        with pytest.raises(InputError, match="it must be a data set, as pplcnet"):
            pplcnet.evaluate(detector, photo)
        with pytest.raises(InputError, match="tiles of 32x32; at most 20,000"):
            detector.predict(photo, tiles=32, overlap=0.9)
        (broken,) = detector.predict_many([folder / "coco_classes.json"], tiles=400)
        assert broken.error is not None
        assert broken.source == str(folder / "coco_classes.json")
    assert main(["predict", str(common_bundle), photo, "--tiles", "400"]) == 2
    assert "--tiles is for detectors" in capsys.readouterr().err
    assert main(["predict", str(bundle), photo, "--draw", photo]) == 2
    assert "is an input of this command; choose another place" in capsys.readouterr().err
    assert main(["predict", str(bundle), photo, "--tile-overlap", "0.5"]) == 2
    assert "give both" in capsys.readouterr().err


def test_a_detector_is_for_detection_and_a_classifier_is_not(
    bundle: Path, common_bundle: Path, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(InputError, match="its task is detection"):
        pplcnet.Classifier(bundle)
    with pytest.raises(InputError, match="its task is classification"):
        pplcnet.Detector(common_bundle)
    assert "80 classes" in repr(pplcnet.Detector(bundle))
    photo = str(folder / "photos/coffee.png")
    assert main(["predict", str(common_bundle), photo, "--draw", "drawn"]) == 2
    assert "--draw is for detectors" in capsys.readouterr().err


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random detector of three classes at 96x160, without a network file: not to be changed."""
    keras.utils.set_random_seed(0)
    model = build_picodet("picodet_x0_25", classes=3, image_size=(96, 160))
    classes = ("a", "b", "c")
    manifest = Manifest(
        classes,
        Preprocessing((96, 160), "stretch"),
        {"name": "picodet_x0_25", "options": {}},
        task="detection",
        outputs=find("detection").outputs(classes, (96, 160), "picodet_xs"),
        variants={"keras": {"file": KERAS_FILE}},
    )
    place = tmp_path_factory.mktemp("detector") / "small.bundle"
    return write_bundle(place, manifest, {KERAS_FILE: pack_weights(model)}).path


def test_a_detector_of_another_size_answers_like_keras(
    small_bundle: Path, tmp_path: Path, folder: Path
) -> None:
    place = Path(shutil.copytree(small_bundle, tmp_path / "small.bundle"))
    exported = export(place, [folder / "photos/coffee.png"], batch=None)
    assert exported.manifest.variants["onnx"]["parity"]["agreement"] == 1.0
    assert len(list(pplcnet.Detector(place).predict_many([folder / "photos/coffee.png"] * 3))) == 3


@pytest.mark.slow
def test_litert_answers_like_keras(small_bundle: Path, tmp_path: Path, folder: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("LiteRT files are made by TensorFlow")
    place = Path(shutil.copytree(small_bundle, tmp_path / "small.bundle"))
    photo = folder / "photos/coffee.png"
    exported = export_litert(place, [photo])
    parity = exported.manifest.variants["litert"]["parity"]["outputs"]
    assert parity["scores"]["largest_difference"] < 1e-4
    found = pplcnet.Detector(place, engine="litert").predict(photo)
    assert found.class_id.max() < 3


def test_a_file_with_suppression_inside_gives_the_objects_in_one_call(
    bundle: Path, folder: Path, golden: dict[str, np.ndarray], tmp_path: Path
) -> None:
    photos, out = str(folder / "photos"), tmp_path / "nms.onnx"
    assert main(["export", str(bundle), "--photos", photos, "--detections", str(out)]) == 0
    session = onnxruntime.InferenceSession(out)
    for name in PHOTOS:
        scale = golden[f"{name}:scale_yx"][::-1]
        boxes, scores, classes = session.run(
            ["boxes", "scores", "class_ids"],
            {
                "images": golden[f"{name}:resized_rgb"][np.newaxis],
                "photo_size": (320 / scale).astype(np.float32),
            },
        )
        kept = FoundBoxes(boxes, classes, scores)
        _check(Detections(name, None, kept, ("",) * 80), golden[f"{name}:detections"])


def test_a_file_of_logits_is_compared_with_boxes_and_scores(
    bundle: Path, common_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photo, out = str(folder / "photos/coffee.png"), tmp_path / "logits.onnx"
    assert main(["export", str(bundle), "--photos", photo, "--logits", str(out)]) == 0
    outputs = onnxruntime.InferenceSession(out).get_outputs()
    assert [each.shape for each in outputs] == [[1, 2125, 80], [1, 2125, 1], [1, 2125, 32]]
    assert main(["export", str(common_bundle), "--photos", photo, "--logits", str(out)]) == 2
    assert "is not a detector" in capsys.readouterr().err
