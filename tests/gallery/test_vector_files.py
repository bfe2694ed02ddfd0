"""Vectors in files: .npy with the photos' names beside it, and .parquet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import ImageError, InputError, MissingDependencyError
from pplcnet.gallery import vector_files
from pplcnet.gallery.vector_files import write_vectors
from pplcnet.runtime.embedding import Embedding


def _embeddings(count: int) -> list[Embedding]:
    vectors = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    return [Embedding(f"photos/{at}, a.jpg", None, each) for at, each in enumerate(vectors)]


def test_an_array_has_a_row_for_each_photo_that_could_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_files, "CHUNK", 3)
    embeddings = _embeddings(8)
    broken = Embedding("bad.jpg", ImageError("bad.jpg", "is broken."))
    path = tmp_path / "v.npy"
    written = write_vectors(path, [*embeddings[:5], broken, *embeddings[5:]], facts={})
    assert (written.rows, written.size) == (8, 4)
    assert [each.source for each in written.errors] == ["bad.jpg"]
    found = np.load(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [each.vector for each in embeddings])
    with (tmp_path / "v.photos.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [each.source for each in embeddings]
    assert [int(row["row"]) for row in rows] == list(range(8))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["v.npy", "v.photos.csv"]


def test_a_parquet_file_has_paths_vectors_and_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(vector_files, "CHUNK", 3)
    embeddings = [*_embeddings(7), Embedding("caf\udce9.jpg", None, np.ones(4, np.float32))]
    write_vectors(tmp_path / "v.parquet", embeddings, facts={"network": "small"})
    table = parquet.read_table(tmp_path / "v.parquet")
    assert table.schema.metadata[b"pplcnet.network"] == b"small"
    found = np.stack(table["embedding"].to_numpy())
    np.testing.assert_array_equal(found, [each.vector for each in embeddings])
    assert table["path"].to_pylist()[0] == embeddings[0].source
    assert table["path"].to_pylist()[-1] == r"caf\udce9.jpg"


def test_without_any_vector_nothing_is_written(tmp_path: Path) -> None:
    broken = Embedding("bad.jpg", ImageError("bad.jpg", "is broken."))
    written = write_vectors(tmp_path / "v.npy", [broken], facts={})
    assert written.files == []
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(b"old")

    def fail():
        yield from _embeddings(2)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_vectors(path, fail(), facts={})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_endings_and_missing_libraries_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untouched():
        pytest.fail("nothing may be embedded")
        yield

    with pytest.raises(InputError, match=r"v\.csv: vectors are written to a file that ends in"):
        write_vectors(tmp_path / "v.csv", untouched(), facts={})
    with pytest.raises(InputError, match="its folder does not exist"):
        write_vectors(tmp_path / "gone" / "v.npy", untouched(), facts={})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pplcnet\[parquet\]"):
        write_vectors(tmp_path / "v.parquet", untouched(), facts={})
