"""Embeddings: of one image and of many, of length 1, the same in every engine and form of image."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.errors import BundleError, ImageError
from pplcnet.runtime import model as model_module
from pplcnet.runtime.embedding import Embedding, network_digest, unit_length
from pplcnet.runtime.engines.engine import installed_engines
from pplcnet.runtime.model import Model


@pytest.fixture(scope="module")
def model(common_bundle: Path) -> Model:
    return Model(common_bundle)


@pytest.fixture
def photo(common_photos: Path) -> Path:
    return common_photos / "class_1" / "003.png"


def test_an_embedding_has_length_one(model: Model, photo: Path) -> None:
    vector = model.embed(photo)
    assert vector.shape == (1280,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_the_networks_own_numbers_point_in_the_same_direction(model: Model, photo: Path) -> None:
    raw = model.embed(photo, normalize=False)
    assert np.linalg.norm(raw) != pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(raw / np.linalg.norm(raw), model.embed(photo), atol=1e-6)


def test_the_classifier_is_a_dense_layer_on_the_embedding(
    common_bundle: Path, model: Model, photo: Path
) -> None:
    from pplcnet.weights.bundled import restore_model

    keras_model = restore_model(Bundle.open(common_bundle))
    kernel, bias = (each.numpy() for each in keras_model.layers[-1].weights)
    scale = keras_model.get_layer("dropout_scale").scale
    found = model.embed(photo, normalize=False) @ kernel * scale + bias
    np.testing.assert_allclose(found, model.predict(photo).logits, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_engine_gives_the_same_embedding(
    common_bundle: Path, model: Model, photo: Path, engine: str
) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    with Model(common_bundle, engine=engine) as other:
        assert other.embed(photo) @ model.embed(photo) == pytest.approx(1, abs=1e-5)


def test_an_onnx_file_alone_has_the_embedding_too(
    common_bundle: Path, model: Model, photo: Path, tmp_path: Path
) -> None:
    alone = shutil.copy(common_bundle / "model.onnx", tmp_path / "alone.onnx")
    np.testing.assert_array_equal(Model(alone).embed(photo), model.embed(photo))


def test_many_embeddings_come_in_order_with_errors_among_them(
    model: Model, common_photos: Path, photo: Path, tmp_path: Path
) -> None:
    absent = tmp_path / "absent.png"
    found = list(model.embed_many([photo, absent, Image.open(photo), photo]))
    assert [each.source for each in found[:2]] == [str(photo), str(absent)]
    assert isinstance(found[1].error, ImageError)
    with pytest.raises(ImageError, match=r"absent\.png"):
        found[1].vector  # noqa: B018
    expected = model.embed(photo)
    for each in (found[0], found[2], found[3]):
        np.testing.assert_allclose(each.vector, expected, atol=1e-6)
    assert len(list(model.embed_many(common_photos))) == 36


def test_an_image_that_cannot_be_read_is_an_image_error(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        model.embed(tmp_path / "absent.png")


def test_predicting_computes_no_embedding(
    common_bundle: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, ...]] = []
    original = model_module.open_engine

    def spy(name: str, content: bytes, **options: object) -> object:
        engine = original(name, content, **options)
        images = np.zeros((1, 32, 32, 3), np.uint8)
        opened.append(tuple(engine.run(images)))
        return engine

    monkeypatch.setattr(model_module, "open_engine", spy)
    with Model(common_bundle) as fresh:
        fresh.predict(photo)
        assert opened == [("logits",)]
        fresh.embed(photo)
        fresh.predict(photo)
        fresh.embed(photo)
    assert opened == [("logits",), ("embedding",)]


def test_a_pickled_model_embeds(model: Model, photo: Path) -> None:
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.embed(photo), model.embed(photo))
    embedding = Embedding("a", None, model.embed(photo))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedding)).vector, embedding.vector)


def test_a_bundle_without_embedding_says_how_to_get_it(
    common_bundle: Path, photo: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(common_bundle, tmp_path / "old.bundle"))
    export_without_embedding(path)
    with Model(path) as old, Model(common_bundle) as new:
        np.testing.assert_array_equal(old.predict(photo).logits, new.predict(photo).logits)
        with pytest.raises(BundleError, match=r"'pplcnet export .*old\.bundle' exports it again"):
            old.embed(photo)
        with pytest.raises(BundleError, match="exported without the embedding"):
            old.embed_many([photo])


def export_without_embedding(path: Path) -> None:
    """As earlier versions exported."""
    from pplcnet.runtime.engines.cutting import cut_network

    bundle = Bundle.open(path)
    content = cut_network(bundle.read("model.onnx"), ("logits",))
    update_bundle(bundle, files={"model.onnx": content}, outputs={"logits": (3,)})


def test_zeros_stay_zeros() -> None:
    vectors = np.array([[3, 4], [0, 0], [1e-30, 0]], np.float32)
    np.testing.assert_allclose(unit_length(vectors), [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-6)


def test_the_digest_follows_the_network_and_the_preparation_of_images(
    common_bundle: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    manifest = Bundle.open(common_bundle).manifest
    digest = network_digest(manifest)
    assert network_digest(replace(manifest, decoding={"temperature": 2.0})) == digest
    preprocessing = replace(manifest.preprocessing, crop_fraction=0.5)
    assert network_digest(replace(manifest, preprocessing=preprocessing)) != digest
    files = {**manifest.files, "model.onnx": {"sha256": "0" * 64, "bytes": 1}}
    assert network_digest(replace(manifest, files=files)) != digest
