"""How typical a photo is of the training, in what the server answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.exporting.typicality import fit_typicality, typicality_facts
from pplcnet.runtime.model import Model
from pplcnet.runtime.typicality import FACTS, TYPICALITY_FILE
from pplcnet.tasks import find
from pplcnet.tasks.task import EMBEDDING
from tests.serving.conftest import photo, write_with_embedding
from tests.serving.servers import Server, serving


@pytest.fixture(scope="module")
def knowing(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that knows what is typical of 60 photos."""
    path = write_with_embedding(bundle, tmp_path_factory.mktemp("knowing") / "k.bundle")
    photos = [photo(number) for number in range(60)]
    with Model(path) as model:
        outputs = {
            EMBEDDING: np.stack(
                [each.vector for each in model.embed_many(photos, normalize=False)]
            ),
            "logits": np.stack([each.logits for each in model.predict_many(photos)]),
        }
        energy = find(model.manifest.task).energy
    fitted = fit_typicality(outputs[EMBEDDING], outputs, energy)
    assert fitted is not None
    update_bundle(
        Bundle.open(path),
        files={TYPICALITY_FILE: fitted.content()},
        calibration={FACTS: typicality_facts(fitted, 60)},
    )
    return path


@pytest.fixture(scope="module")
def served(knowing: Path) -> Iterator[Server]:
    with serving(f"tiny={knowing}", "--workers", 1, "--drain", 0) as running:
        yield running


def test_an_answer_says_how_typical_the_photo_is(served: Server, knowing: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    strange = _png(noise)
    with Model(knowing, threads=1) as model:
        for content in (photo(1), strange):
            expected = model.predict(content)
            found = served.post("/v1/classify", content).json
            assert found["predictions"] == expected.rows()
            assert {name: found[name] for name in ("typicality", "is_strange")} == expected.facts()
    assert found["is_strange"] is True


def test_it_is_an_output_of_the_protocol_and_the_embedding_still_is_another(
    served: Server, knowing: Path
) -> None:
    outputs = served.get("/v2/models/tiny").json["outputs"]
    assert {"name": "typicality", "datatype": "FP32", "shape": [-1]} in outputs
    with Model(knowing, threads=1) as model:
        pixels = model.manifest.preprocessing(photo(2))
        expected, vector = model.predict(photo(2)), model.embed(photo(2), normalize=False)
    tensor = {
        "name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3],
        "data": pixels.ravel().tolist(),
    }  # fmt: skip
    path = "/v2/models/tiny/infer"
    plain = {each["name"]: each for each in served.post(path, {"inputs": [tensor]}).json["outputs"]}
    assert EMBEDDING not in plain
    np.testing.assert_allclose(plain["typicality"]["data"], [expected.typicality], atol=1e-6)
    wanted = [{"name": EMBEDDING}]
    (found,) = served.post(path, {"inputs": [tensor], "outputs": wanted}).json["outputs"]
    np.testing.assert_allclose(found["data"], vector, rtol=0, atol=1e-6)


def test_a_bundle_that_does_not_know_says_nothing_of_it(server: Server) -> None:
    assert set(server.post("/v1/classify", photo()).json) == {
        "model", "version", "predictions", "ms",
    }  # fmt: skip


def _png(pixels: np.ndarray) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
