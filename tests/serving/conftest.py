"""A server for the tests of a file, and photos for it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pplcnet.runtime.classifier import Classifier
from tests.conftest import draw_image
from tests.serving.servers import Server, serving


def photo(number: int = 0, kind: str = "JPEG", size: tuple[int, int] = (90, 70)) -> bytes:
    """The bytes of a small photo."""
    file = io.BytesIO()
    draw_image(number % 3, number, size).save(file, kind)
    return file.getvalue()


def write_with_embedding(bundle: Path, place: Path) -> Path:
    """The same network with its embedding as a second output."""
    from pplcnet.bundle.bundle import Bundle
    from pplcnet.bundle.writing import write_bundle
    from pplcnet.exporting.embedding import add_embedding
    from pplcnet.tasks import find
    from pplcnet.tasks.task import EMBEDDING

    opened = Bundle.open(bundle)
    outputs = {**opened.manifest.outputs, EMBEDDING: (1280,)}
    manifest = replace(opened.manifest, outputs=outputs)
    content = add_embedding(opened.read("model.onnx"), manifest, find(manifest.task))
    return write_bundle(place, manifest, {"model.onnx": content}).path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle whose answers differ from photo to photo: not to be changed."""
    from tests.runtime_only import make_bundle

    packed = tmp_path_factory.mktemp("served") / "packed.zip"
    make_bundle.main(str(packed))
    folder = packed.parent / "animals.bundle"
    zipfile.ZipFile(packed).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    """Two workers and small limits, so that they can be reached."""
    with serving(
        f"tiny={bundle}", "--workers", 2, "--max-request-megabytes", 1,
        "--receive-timeout", 1, "--max-photos", 8, "--max-pixels", 1_000_000, "--drain", 0,
    ) as running:  # fmt: skip
        yield running


@pytest.fixture(scope="session")
def classifier(bundle: Path) -> Classifier:
    """What the server has to agree with."""
    return Classifier(bundle, threads=1)
