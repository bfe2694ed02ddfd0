"""The published portrait network answers as the original does, by every way there is."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from PIL import Image

import pplcnet
from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.errors import BundleError, ImageError, InputError, UnknownNameError
from pplcnet.exporting.litert import export_litert
from pplcnet.exporting.parity import in_full_precision, keras_outputs
from pplcnet.imaging import large_images
from pplcnet.models.resizing import resize
from pplcnet.runtime.checks.tflite import check_tflite
from pplcnet.tasks.segmentation import drawing, resizing
from pplcnet.tasks.segmentation.decoding import Segmentation
from pplcnet.tasks.segmentation.head import build_segmenter
from pplcnet.weights.bundled import restore_model
from pplcnet.weights.loading import load_into
from tests.conformance.reference import images, relative_difference

PHOTOS = ("astronaut", "camera", "cat")
NETWORK = "mobileseg_portrait_mobilenetv3_large_x1_0"


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "reference/segmentation/portrait_mobileseg"


@pytest.fixture(scope="module")
def golden(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def photos(golden: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portraits")
    for name in PHOTOS:
        Image.fromarray(golden[f"{name}:pixels_uint8"]).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("segmenter") / "portrait.bundle"
    command = ["convert", folder / "weights_named.npz", "--model", NETWORK]
    assert main([*map(str, [*command, "--photos", photos, "--out", place])]) == 0
    return place


@pytest.fixture(scope="module")
def segmenter(bundle: Path) -> pplcnet.Segmenter:
    return pplcnet.Segmenter(bundle, threads=1)


@pytest.fixture(scope="module")
def astronaut(segmenter: pplcnet.Segmenter, photos: Path) -> Segmentation:
    return segmenter.predict(photos / "astronaut.png")


def test_keras_gives_the_goldens(bundle: Path, golden: dict[str, np.ndarray]) -> None:
    opened = Bundle.open(bundle)
    assert opened.classes == ("background", "person")
    pixels = np.stack([golden[f"{name}:pixels_uint8"] for name in PHOTOS])
    with in_full_precision():
        logits = keras_outputs(restore_model(opened), opened.manifest, pixels)["logits"]
    logits = keras.ops.convert_to_numpy(resize(logits, (144, 256)))
    expected = golden["astronaut:logits"][0].transpose(1, 2, 0)
    assert relative_difference(logits[0], expected) <= 1e-4
    chances = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    for name, found in zip(PHOTOS, chances, strict=True):
        expected = golden[f"{name}:probabilities"][0].transpose(1, 2, 0)
        assert np.abs(found - expected).max() <= 1e-4


def test_odd_sizes_give_the_goldens(folder: Path, golden: dict[str, np.ndarray]) -> None:
    network = build_segmenter(NETWORK, classes=2, image_size=(193, 225))
    load_into(network, folder / "weights_named.npz")
    photo = golden["astronaut_193x225:pixels_uint8"][np.newaxis]
    logits = resize(network((photo / 255 - 0.5) / 0.5, training=False), (193, 225))
    logits = keras.ops.convert_to_numpy(logits)
    assert (logits.argmax(-1) == golden["astronaut_193x225:argmax"]).mean() > 0.9999
    expected = golden["astronaut_193x225:logits_every8"].transpose(0, 2, 3, 1)
    assert relative_difference(logits[:, ::8, ::8], expected) <= 1e-4
    logits = keras.ops.convert_to_numpy(
        resize(network(images(193, 225), training=False), (193, 225))
    )
    limit = 1e-4 * float(golden["random_193x225:absmax"])
    for part, found in {
        "every8": logits[:, ::8, ::8], "corner": logits[:, :8, :8]
    }.items():  # fmt: skip
        expected = golden[f"random_193x225:logits_{part}"].transpose(0, 2, 3, 1)
        assert np.abs(found - expected).max() <= limit


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_segmenter_gives_the_goldens(
    bundle: Path, photos: Path, golden: dict[str, np.ndarray], engine: str
) -> None:
    pytest.importorskip(engine)
    with pplcnet.Segmenter(bundle, engine=engine, threads=1) as segmenter:
        found = list(segmenter.predict_many(photos))
    for name, prediction in zip(PHOTOS, found, strict=True):
        expected = golden[f"{name}:probabilities"][0]
        chances = prediction.probabilities()
        assert chances.shape == (144, 256, 2)
        assert np.abs(chances.transpose(2, 0, 1) - expected).max() <= 1e-4
        assert (prediction.class_map == expected.argmax(0)).mean() > 0.9999


def test_predict_prints_shares_and_writes_maps_and_overlays(
    bundle: Path,
    photos: Path,
    golden: dict[str, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    maps, drawn = tmp_path / "maps", tmp_path / "drawn"
    command = ["predict", bundle, photos, "--json", "--out", maps, "--draw", drawn]
    assert main([*map(str, command)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(PHOTOS)
    for name, row in zip(PHOTOS, rows, strict=True):
        answer = golden[f"{name}:probabilities"][0].argmax(0)
        with Image.open(maps / f"{name}.png") as file:
            assert file.mode == "P"
            found = np.asarray(file)
        assert (found == answer).mean() > 0.9999
        shares = {each["label"]: each["share"] for each in row["predictions"]}
        assert shares["person"] == pytest.approx(found.mean(), abs=1e-6)
        with Image.open(drawn / f"{name}.jpg") as file:
            assert file.size == (256, 144)


def test_a_prediction_answers_in_the_photos_own_pixels(
    segmenter: pplcnet.Segmenter, photos: Path
) -> None:
    large = Image.open(photos / "astronaut.png").resize((1000, 700))
    found = segmenter.predict(large)
    assert found.class_map.shape == (700, 1000)
    assert np.asarray(found).dtype == np.uint8
    assert found.area_of("person") == int(found.mask_of("person").sum())
    assert found.area_of("person") + found.area_of("background") == 700 * 1000
    assert found.overlay(large).size == (1000, 700)
    assert found.arrays()["class_map"].shape == (144, 256)


def test_an_overlay_is_the_photo_and_the_colours(astronaut: Segmentation, photos: Path) -> None:
    photo = np.asarray(Image.open(photos / "astronaut.png"))
    np.testing.assert_array_equal(np.asarray(astronaut.overlay(opacity=0)), photo)
    whole = np.asarray(astronaut.overlay(opacity=1))
    colours = {tuple(each) for each in whole.reshape(-1, 3).tolist()}
    assert colours == {(128, 0, 0), (0, 128, 0)}
    with pytest.raises(ImageError, match="is not the photo that was predicted"):
        astronaut.overlay(np.zeros((5, 5, 3), np.uint8))


def test_a_photo_that_is_too_large_is_drawn_smaller(
    astronaut: Segmentation, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.asarray(astronaut.overlay())
    monkeypatch.setattr(drawing, "MAX_PIXELS", 1000)
    monkeypatch.setattr(drawing, "MOST_DRAWN", 256 * 144 // 9)
    monkeypatch.setattr(large_images, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(large_images, "ROWS", 10)
    for photo in (None, np.asarray(Image.open(photos / "astronaut.png"))):
        np.testing.assert_array_equal(np.asarray(astronaut.overlay(photo)), whole[::3, ::3])
    with pytest.raises(ImageError, match="which has 256x144"):
        astronaut.overlay(np.zeros((50, 50, 3), np.uint8))


def test_what_is_asked_for_wrongly_is_said(
    astronaut: Segmentation, bundle: Path, common_bundle: Path, photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(UnknownNameError, match="'persons'"):
        astronaut.area_of("persons")
    with pytest.raises(UnknownNameError, match="'3'"):
        astronaut.mask_of(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a Segmenter is for segmentation"):
        pplcnet.Segmenter(common_bundle)
    photo = str(photos / "cat.png")
    assert main(["predict", str(common_bundle), photo, "--out", "maps"]) == 2
    assert "--out is for segmenters" in capsys.readouterr().err
    assert main(["predict", str(bundle), photo, "--confidence", "0.5"]) == 2
    assert "--confidence is for detectors" in capsys.readouterr().err


def test_a_photo_that_cannot_be_read_has_no_classes(
    segmenter: pplcnet.Segmenter, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no photo")
    (found,) = segmenter.predict_many([tmp_path / "broken.png"])
    assert "error" in repr(found)
    with pytest.raises(ImageError):
        _ = found.class_map


def test_the_network_alone_answers_the_same(bundle: Path, photos: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((bundle / "model.onnx").read_bytes())
    found = [pplcnet.load(each, threads=1).predict(photos / "cat.png") for each in (bundle, alone)]
    np.testing.assert_array_equal(found[0].class_map, found[1].class_map)


def test_windows_see_a_large_photo_in_its_own_pixels(
    segmenter: pplcnet.Segmenter, bundle: Path, photos: Path, tmp_path: Path
) -> None:
    photo = np.tile(np.asarray(Image.open(photos / "astronaut.png")), (2, 2, 1))
    whole = segmenter.predict(photo[:144, :256])
    found = segmenter.predict(photo, window=(144, 256), stride=(144, 256))
    # Without overlap, each window is a photo by itself.
    assert (found.class_map == np.tile(whole.class_map, (2, 2))).mean() > 0.999
    with pytest.raises(InputError, match="predicted in windows"):
        found.probabilities()
    Image.fromarray(photo).save(tmp_path / "large.png")
    command = ["predict", bundle, tmp_path / "large.png", "--window", "144x256"]
    assert main([*map(str, [*command, "--stride", "72x128", "--out", tmp_path / "maps"])]) == 0
    overlapping = segmenter.predict(photo, window=(144, 256), stride=(72, 128)).class_map
    with Image.open(tmp_path / "maps" / "large.png") as file:
        np.testing.assert_array_equal(np.asarray(file), overlapping)
    (smaller,) = segmenter.predict_many([photo[:100, :120]], window=(144, 256))
    np.testing.assert_array_equal(smaller.class_map, segmenter.predict(photo[:100, :120]).class_map)
    with pytest.raises(InputError, match="is one image; predict takes one"):
        segmenter.predict_many(photo, window=(144, 256))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--window", "8"], "each side must be from 32"),
        (["--window", "64", "--stride", "65"], "at most as large as the window"),
        (["--stride", "64"], "--stride needs --window"),
        (["--most-pixels", "64"], "--most-pixels needs --window"),
        (["--scales", "0.75"], "no network for the scale 0.75; 'pplcnet export"),
        (["--tiles", "64"], "--tiles is for detectors"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    bundle: Path, photos: Path, arguments: list[str], complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["predict", str(bundle), str(photos / "cat.png"), *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_photo_of_too_many_pixels_is_an_error_of_its_own(
    bundle: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", bundle, photos / "cat.png", "--window", "64", "--most-pixels", "9000"]
    assert main([*map(str, command)]) == 1
    assert "has 256x144 pixels; at most 9,000 are processed in windows" in capsys.readouterr().out


def _scaled(logits: np.ndarray) -> np.ndarray:
    return resizing.resize(logits, (144, 256))


def test_the_mirror_image_is_averaged(
    segmenter: pplcnet.Segmenter, photos: Path, astronaut: Segmentation, bundle: Path,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    photo = np.asarray(Image.open(photos / "astronaut.png"))
    found = segmenter.predict(photo, flip=True)
    logits = [segmenter.run(each[np.newaxis])["logits"][0] for each in (photo, photo[:, ::-1])]
    expected = _scaled(logits[0]) + _scaled(logits[1])[:, ::-1]
    assert (found.class_map == expected.argmax(2)).mean() > 0.9999
    assert (found.class_map != astronaut.class_map).any()
    assert found.probabilities().shape == (144, 256, 2)
    in_windows = segmenter.predict(photo, flip=True, window=(144, 256)).class_map
    assert (in_windows == found.class_map).mean() > 0.9999
    command = ["predict", bundle, photos / "astronaut.png", "--flip", "--out", tmp_path]
    assert main([*map(str, command)]) == 0
    with Image.open(tmp_path / "astronaut.png") as file:
        np.testing.assert_array_equal(np.asarray(file), found.class_map)


def test_scales_are_averaged(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Path(shutil.copytree(bundle, tmp_path / "scaled.bundle"))
    command = ["export", place, "--photos", photos / "cat.png", "--scales", "0.75,1"]
    assert main([*map(str, command)]) == 0
    assert "scale       0.75: on 1 photo" in capsys.readouterr().out
    photo = photos / "astronaut.png"
    (tmp_path / "small.onnx").write_bytes((place / "model.x0.75.onnx").read_bytes())
    with pplcnet.Segmenter(place, threads=1) as segmenter:
        small = pplcnet.load(tmp_path / "small.onnx", threads=1)
        assert small.manifest.preprocessing.image_size == (108, 192)
        logits = [
            each.run(each.manifest.preprocessing(photo)[np.newaxis])["logits"][0]
            for each in (segmenter, small)
        ]
        expected = sum(map(_scaled, logits)).argmax(2)
        found = segmenter.predict(photo, scales=(0.75, 1)).class_map
        assert (found == expected).mean() > 0.9999
        (again,) = segmenter.predict_many([photo], scales=(0.75, 1), window=(144, 256))
        assert (again.class_map == expected).mean() > 0.999
        mirrored = segmenter.predict(photo, scales=(0.75, 1), flip=True)
        assert (mirrored.class_map != found).any()
        with pytest.raises(InputError, match="predicted in windows, at several scales"):
            mirrored.probabilities()
        copied = pickle.loads(pickle.dumps(segmenter))
        np.testing.assert_array_equal(copied.predict(photo, scales=(0.75, 1)).class_map, found)


def test_photos_are_not_replaced_by_what_is_written(
    bundle: Path, photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    for given, out in ((folder, folder), (folder, folder / "maps"), (folder / "cat.png", folder)):
        assert main([*map(str, ["predict", bundle, given, "--out", out])]) == 2
        assert "choose another" in capsys.readouterr().err
    command = ["export", bundle, "--photos", folder, "--class-map", folder / "cat.png"]
    assert main([*map(str, command)]) == 2
    assert "is not a .onnx file" in capsys.readouterr().err
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_what_an_evaluation_keeps_is_small(astronaut: Segmentation) -> None:
    kept = astronaut.kept()
    assert len(pickle.dumps(kept)) < astronaut.class_map.size / 10
    np.testing.assert_array_equal(kept.class_map, astronaut.class_map)
    assert kept.rows() == astronaut.rows()
    assert kept.kept() is kept
    with pytest.raises(InputError, match="or in an evaluation"):
        kept.probabilities()


def test_evaluate_looks_as_it_is_told(
    bundle: Path, photos: Path, segmenter: pplcnet.Segmenter, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in PHOTOS:
        shutil.copytree(photos, tmp_path / "data/images", dirs_exist_ok=True)
        place = tmp_path / "data/masks" / f"{name}.png"
        place.parent.mkdir(exist_ok=True)
        found = segmenter.predict(photos / f"{name}.png", flip=True)
        Image.fromarray(found.class_map).save(place)
    (tmp_path / "data/classes.json").write_text(json.dumps(["background", "person"]))
    place = Path(shutil.copytree(bundle, tmp_path / "run/model.bundle"))
    command = ["evaluate", place, tmp_path / "data"]
    facts = {}
    for looks in ([], ["--flip"], ["--flip", "--window", "144x256"]):
        assert main([*map(str, command), *looks, "--json"]) == 0
        facts["".join(looks)] = json.loads(capsys.readouterr().out)
    assert facts[""]["miou"] < 1
    assert facts["--flip"]["miou"] == 1
    assert facts["--flip"]["looked"] == "flip"
    assert facts["--flip--window144x256"]["miou"] > 0.999
    folders = {each.name for each in (tmp_path / "run").iterdir()}
    assert {"evaluation-data", "evaluation-data-flip"} <= folders
    assert "evaluation-data-window144x256-flip" in folders
    assert main([*map(str, command), "--scales", "2"]) == 2
    assert "no network for the scale 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"window": "512"}, "window is '512'"),
        ({"window": 64.5}, "window is 64.5"),
        ({"window": True}, "window is True"),
        ({"window": (64, 64, 64)}, r"window is \(64, 64, 64\)"),
        ({"window": 64, "stride": None, "most_pixels": 0}, "most_pixels is 0"),
        ({"stride": 64}, "need windows; give window"),
        ({"flip": "no"}, "flip is 'no'"),
        ({"scales": ()}, "numbers from 0.1 to 10"),
        ({"scales": ("big",)}, "numbers from 0.1 to 10"),
        ({"scales": (float("nan"),)}, "numbers from 0.1 to 10"),
        ({"scales": (8,)}, "no network for the scale 8"),
    ],
)
def test_looks_that_cannot_be_are_refused(
    segmenter: pplcnet.Segmenter, photos: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        segmenter.predict(photos / "cat.png", **options)


def test_files_with_the_last_steps_inside_give_the_goldens(
    bundle: Path, common_bundle: Path, photos: Path, golden: dict[str, np.ndarray], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    maps, chances = tmp_path / "maps.onnx", tmp_path / "chances.onnx"
    command = ["export", bundle, "--photos", photos, "--class-map", maps]
    assert main([*map(str, [*command, "--probabilities", chances])]) == 0
    sessions = [
        onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"])
        for each in (maps, chances)
    ]
    for name in PHOTOS:
        given = {"images": golden[f"{name}:pixels_uint8"][np.newaxis]}
        (classes,), (found,) = (session.run(None, given) for session in sessions)
        expected = golden[f"{name}:probabilities"][0]
        assert (classes.dtype, classes.shape) == (np.uint8, (1, 144, 256))
        assert (classes[0] == expected.argmax(0)).mean() > 0.9999
        assert np.abs(found[0].transpose(2, 0, 1) - expected).max() <= 1e-4
    command = ["export", common_bundle, "--photos", photos, "--class-map", maps]
    assert main([*map(str, command)]) == 2
    assert "is not a segmentation network" in capsys.readouterr().err


@pytest.mark.slow
def test_litert_gives_the_goldens(
    bundle: Path, photos: Path, golden: dict[str, np.ndarray], tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("LiteRT files are made by TensorFlow")
    place = Path(shutil.copytree(bundle, tmp_path / "portrait.bundle"))
    content = export_litert(place, [photos / "cat.png"]).read("model.tflite")
    with pplcnet.Segmenter(place, engine="litert", threads=1) as segmenter:
        chances = segmenter.predict(photos / "astronaut.png").probabilities()
    expected = golden["astronaut:probabilities"][0].transpose(1, 2, 0)
    assert np.abs(chances - expected).max() <= 1e-4
    # The sides of a map that is enlarged: as a constant, and in the shapes of tensors.
    sides, wrong = struct.pack("<2i", 9, 16), struct.pack("<2i", 1 << 14, 1 << 14)
    found = [
        _refusal(content[: each.start()] + wrong + content[each.end() :])
        for each in re.finditer(re.escape(sides), content)
    ]
    assert "a resize to (16384, 16384) that says (1, 9, 16, 128)" in found


def _refusal(content: bytes) -> str:
    try:
        check_tflite(content)
    except BundleError as error:
        return str(error)
    return ""
