"""Weights files to bundles, and official names in place of bundles, as a user calls them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.errors import InputError, WeightsError
from pplcnet.imaging.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from pplcnet.runtime.classifier import Classifier
from pplcnet.weights.bundled import restore_model
from pplcnet.weights.conversion import convert, imagenet_classes
from tests.conformance import reference

TEXTLINE = "reference/textline_ori_x0_25"
PDPARAMS = "reference/paddle_files/PPLCNet_x0_25_17classes.pdparams"


@pytest.fixture(scope="module")
def textline(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict]:
    """The bundle of PaddleX' text-line model, the golden pictures as PNG, their probabilities."""
    folder = tmp_path_factory.mktemp("textline")
    wanted = {}
    with np.load(shared / TEXTLINE / "golden.npz") as golden:
        for key in golden:
            name, _, kind = key.partition(":")
            if kind != "x_nchw":
                continue
            pixels = golden[key].transpose(1, 2, 0) * IMAGENET_STD + IMAGENET_MEAN
            pixels = np.rint(pixels * 255).astype(np.uint8)
            (folder / "pictures").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / "pictures" / name)
            Image.fromarray(pixels[::-1, ::-1]).save(folder / "pictures" / f"turned_{name}")
            wanted[name] = golden[f"{name}:probabilities"]
            wanted[f"turned_{name}"] = golden[f"{name}:turned180_probabilities"]
    out = folder / "textline.bundle"
    command = ["convert", str(shared / TEXTLINE), "--out", str(out)]
    assert main([*command, "--images", str(folder / "pictures")]) == 0
    return out, folder / "pictures", wanted


def test_the_textline_model_answers_as_paddle_does(textline) -> None:
    bundle, pictures, wanted = textline
    assert len(wanted) == 8
    classifier, model = Classifier(bundle), restore_model(Bundle.open(bundle))
    preprocessing = classifier.manifest.preprocessing
    for name, expected in wanted.items():
        deployed = classifier.predict(pictures / name)
        np.testing.assert_allclose(deployed.probabilities, expected, atol=1e-5)
        images = preprocessing.normalize(preprocessing(pictures / name)[np.newaxis])
        logits = model(images, training=False).numpy()[0].astype(float)
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_the_textline_model_is_right_on_all_eight(textline, capsys) -> None:
    bundle, pictures, _ = textline
    assert main(["predict", str(bundle), str(pictures), "--json"]) == 0
    for line in capsys.readouterr().out.splitlines():
        answer = json.loads(line)
        name = Path(answer["path"]).name
        turned = name.startswith("turned_") != ("_test_1_" in name)
        assert answer["predictions"][0]["label"] == ("180_degree" if turned else "0_degree")


def test_the_bundle_says_where_it_is_from(textline, shared: Path) -> None:
    manifest = Bundle.open(textline[0]).manifest
    assert manifest.classes == ("0_degree", "180_degree")
    assert manifest.preprocessing.resize == "stretch"
    assert manifest.preprocessing.image_size == (80, 160)
    assert manifest.preprocessing.interpolation == "opencv-bilinear"
    assert manifest.network["options"]["strides"][0] == [1, 2]
    assert TEXTLINE in manifest.provenance["weights"]["file"]


def test_a_state_dict_needs_its_network_and_its_classes(shared: Path, tmp_path: Path) -> None:
    file = shared / PDPARAMS
    with pytest.raises(InputError, match="name it with --model"):
        convert(file, tmp_path / "x.bundle")
    with pytest.raises(InputError, match="17 classes without names"):
        convert(file, tmp_path / "x.bundle", network="pplcnet_x0_25")
    for names, complaint in (
        (["a", "b"], "has 17 classes, but 2 names are given"),
        (["a"] * 17, "the class name 'a' is given twice"),
        ([*"abcdefghijklmnop", " "], "a class name is empty"),
    ):
        with pytest.raises(InputError, match=complaint):
            convert(file, tmp_path / "x.bundle", network="pplcnet_x0_25", classes=names)
    with pytest.raises(WeightsError, match="wrong shape"):
        convert(
            file, tmp_path / "x.bundle", network="pplcnet_x1_0", classes=list("abcdefghijklmnopq")
        )
    assert not (tmp_path / "x.bundle").exists()


def test_an_inference_model_of_another_network_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is pplcnet_x0_25, not pplcnet_x1_0"):
        convert(shared / TEXTLINE, tmp_path / "x.bundle", network="pplcnet_x1_0")


def test_a_backbone_alone_is_refused(shared: Path, tmp_path: Path) -> None:
    backbone = shared / "reference/lcnet_x0_35_coco_trunk/lcnet_x0_35_trunk_bnfolded.npz"
    with pytest.raises(WeightsError, match="has no classifier"):
        convert(backbone, tmp_path / "x.bundle", network="pplcnet_x0_35")


def test_imagenets_names_are_a_thousand_different_ones() -> None:
    names = imagenet_classes()
    assert len(names) == len(set(names)) == 1000
    assert names[0].startswith("tench")
    assert names[999].startswith("toilet tissue")


@pytest.fixture
def mirror(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ThreadingHTTPServer]:
    """A server with the file of 17 classes, blown up to 1000, under its official name."""
    from pplcnet.weights.paddle import read_pdparams

    tensors = read_pdparams(shared / PDPARAMS)
    key = np.random.default_rng(0)
    tensors["fc.weight"] = key.normal(0, 0.03, (1280, 1000)).astype("f4")
    tensors["fc.bias"] = np.zeros(1000, "f4")
    import pickle

    (tmp_path / "served" / "raw").mkdir(parents=True)
    shutil.copy(shared / PDPARAMS, tmp_path / "served/raw/PPLCNet_x0_25_pretrained.pdparams")
    (tmp_path / "served" / "PPLCNet_x0_25_pretrained.pdparams").write_bytes(
        pickle.dumps(tensors, protocol=2)
    )
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "served")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PPLCNET_MIRROR", f"http://127.0.0.1:{server.server_port}")
    for name in ("PPLCNET_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_networks_name_predicts_with_official_weights(
    mirror: ThreadingHTTPServer, common_photos: Path, tmp_path: Path, capsys
) -> None:
    photo = str(common_photos / "class_0" / "000.png")
    assert main(["predict", "pplcnet_x0_25", photo, "--top-k", "2", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert {each["label"] for each in first["predictions"]} <= set(imagenet_classes())
    bundle = Bundle.open(tmp_path / "cache/bundles/pplcnet_x0_25-imagenet.bundle")
    assert bundle.manifest.provenance["licence"] == "Apache-2.0"
    assert bundle.manifest.preprocessing.interpolation == "opencv-bilinear"
    mirror.shutdown()  # the second time nothing is asked for
    assert main(["predict", "pplcnet_x0_25", photo, "--top-k", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    pq = pytest.importorskip("pyarrow.parquet")
    names = tmp_path / "names.txt"
    names.write_text(photo)
    job = ["classify", "pplcnet_x0_25", str(names), "--out", str(tmp_path / "JOB")]
    assert main(job) == 0
    row = pq.read_table(tmp_path / "JOB" / "parts").to_pylist()[0]
    assert row["label"] == first["predictions"][0]["label"]


def test_a_name_without_connection_is_one_clear_error(
    tmp_path: Path, common_photos: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path))
    monkeypatch.setenv("PPLCNET_MIRROR", "http://127.0.0.1:9")
    monkeypatch.delenv("PPLCNET_OFFLINE")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert main(["predict", "pplcnet_x1_0:imagenet-ssld", str(common_photos)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:9/PPLCNet_x1_0_ssld_pretrained.pdparams")
    assert "save it as" in error


def test_create_model_downloads_what_paddle_wrote(
    mirror: ThreadingHTTPServer, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pplcnet.weights.pretrained import create_model

    monkeypatch.setenv("PPLCNET_MIRROR", f"http://127.0.0.1:{mirror.server_port}/raw")
    model = create_model("pplcnet_x0_25", num_classes=17, weights="imagenet")
    logits = model(reference.images(224, 224), training=False).numpy()
    expected = reference.load(shared, "pplcnet_x0_25").outputs["logits_224x224"]
    assert reference.relative_difference(logits, expected) <= 1e-4


def test_broken_photos_do_not_keep_an_official_network_from_being_made(
    mirror: ThreadingHTTPServer, common_photos: Path, tmp_path: Path, capsys
) -> None:
    broken = tmp_path / "photos" / "broken.jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"no picture")
    shutil.copy(common_photos / "class_0" / "000.png", broken.parent)
    assert main(["predict", "pplcnet_x0_25", str(broken.parent)]) == 0
    lines = capsys.readouterr().out
    assert f"{broken}: error" in lines
    assert f"{broken.parent / '000.png'}: " in lines
