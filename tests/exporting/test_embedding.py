"""The embedding as an output: by engines, in LiteRT, and in a quantised file.

`test_translation` compares it for every network.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import find_images
from pplcnet.exporting.embedding import add_embedding, manifest_with_embedding, with_embedding
from pplcnet.exporting.translation import to_onnx
from pplcnet.models.build import build_model
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.runtime.model import Model
from pplcnet.tasks import find
from tests.exporting.networks import manifest_of, random_images, with_lively_statistics

TASK = find("classification")


def test_a_task_without_an_embedding_exports_its_outputs_alone() -> None:
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    task = replace(TASK, embedding="")
    manifest = manifest_with_embedding(manifest_of(model), model, task)
    assert dict(manifest.outputs) == {"logits": (3,)}
    assert with_embedding(model, manifest, task) is model
    assert add_embedding(b"any", manifest, task) == b"any"


def test_the_model_with_an_embedding_takes_images_as_the_one_without() -> None:
    """An input in a list is another structure, of which Keras warns where nothing is compiled."""
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    manifest = manifest_with_embedding(manifest_of(model), model, TASK)
    whole = with_embedding(model, manifest, TASK)
    assert whole is not model
    assert whole.input is model.input


def test_opencv_answers_with_the_logits_unless_asked_otherwise(
    common_bundle: Path, common_photos: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    content = (common_bundle / "model.onnx").read_bytes()
    network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    photo = common_photos / "class_1" / "003.png"
    with Model(common_bundle) as model:
        network.setInput(model.manifest.preprocessing(photo)[np.newaxis])
        np.testing.assert_allclose(network.forward()[0], model.predict(photo).logits, atol=1e-4)
        raw = model.embed(photo, normalize=False)
    np.testing.assert_allclose(network.forward("embedding")[0], raw, rtol=1e-3, atol=1e-4)


def test_a_litert_network_has_the_embedding(common_bundle: Path, common_photos: Path,
                                            tmp_path: Path) -> None:  # fmt: skip
    pytest.importorskip("ai_edge_litert")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("LiteRT is exported from TensorFlow")
    from pplcnet.exporting.litert import export_litert

    path = Path(shutil.copytree(common_bundle, tmp_path / "lite.bundle"))
    photos = list(find_images(common_photos))
    export_litert(path, photos[:4])
    with Model(path, engine="litert") as lite, Model(path) as exact:
        assert lite.embed(photos[0]) @ exact.embed(photos[0]) == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(
            lite.predict(photos[0]).logits, exact.predict(photos[0]).logits, atol=1e-4
        )


def test_a_quantised_bundle_embeds_and_predicts(
    common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    from pplcnet.exporting.quantization import quantize

    path = Path(shutil.copytree(common_bundle, tmp_path / "int8.bundle"))
    photos = list(find_images(common_photos))
    quantize(path, Dataset.open(common_photos), calibration=photos[:12], max_drop=1.0)
    with Model(path, precision="int8") as rough:
        assert rough.predict(photos[0]).logits.shape == (3,)
        assert rough.embed(photos[0]).shape == (1280,)


def test_a_quantised_networks_embedding_is_what_its_classifier_takes() -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    from pplcnet.exporting.int8 import quantize_content

    keras.utils.set_random_seed(4)
    model = with_lively_statistics(build_model("pplcnet_x0_25", num_classes=5, image_size=32))
    manifest = manifest_with_embedding(manifest_of(model), model, TASK)
    whole = to_onnx(with_embedding(model, manifest, TASK), manifest, batch=1).SerializeToString()
    pixels = random_images(model, 6)
    answering = quantize_content(cut_network(whole, ("logits",)), pixels)
    content = add_embedding(answering, manifest, TASK)
    assert cut_network(content, ("logits",)) == answering
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    found = open_engine("openvino", content, precision="int8", threads=1).run(pixels[:1])
    exact = open_engine("onnxruntime", whole).run(pixels[:1])["embedding"][0]
    embedding = found["embedding"][0]
    cosine = embedding @ exact / np.linalg.norm(embedding) / np.linalg.norm(exact)
    assert cosine > 0.9
    weights = {
        each.name: onnx.numpy_helper.to_array(each)
        for each in onnx.load_from_string(whole).graph.initializer
    }
    logits = embedding @ weights["fc.weight"] + weights["fc.bias"]
    np.testing.assert_allclose(found["logits"][0], logits, rtol=1e-3, atol=1e-4)
