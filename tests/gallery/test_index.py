"""A gallery with indexes finds what exact search finds, as often as it should."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pplcnet.cli.main import main
from pplcnet.errors import MissingDependencyError
from pplcnet.gallery import index
from pplcnet.gallery.changing import remove_from_gallery, write_gallery
from pplcnet.gallery.gallery import Gallery
from pplcnet.gallery.index import build_indexes, open_indexes
from pplcnet.gallery.parts import Row
from tests.gallery.vectors import NETWORK, SIZE, cloud

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("usearch") is None, reason="usearch (extra 'index') is not installed"
)

CLASSES, EACH = 150, 20


def _rows() -> Iterator[Row]:
    for label in range(CLASSES):
        for at, vector in enumerate(cloud(label, EACH)):
            yield Row(f"{label}", f"{label}/{at}.jpg", f"{label:016x}{at:016x}", vector)


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """Two parts with an index each, and a small one without."""
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pplcnet.gallery.parts.PART_BYTES", 1300 * SIZE * 4)
    write_gallery(tmp_path / "g", NETWORK, SIZE, _rows())
    assert main(["gallery", "index", str(tmp_path / "g")]) == 0
    return Gallery.open(tmp_path / "g")


def _queries(count: int = 100) -> np.ndarray:
    return np.concatenate([cloud(label, 1, seed=5) for label in range(count)])


def test_the_recall_against_exact_search_is_high_and_similarities_are_exact(
    gallery: Gallery,
) -> None:
    assert [each is not None for each in gallery.indexes] == [True, True, False]
    found = gallery.search_many(_queries(), count=5)
    exact = gallery.search_many(_queries(), count=5, is_exact=True)
    nearest = [a.matches[0].photo == b.matches[0].photo for a, b in zip(found, exact, strict=True)]
    assert np.mean(nearest) >= 0.98
    shares = []
    for one, other in zip(found, exact, strict=True):
        known = {each.photo: each.similarity for each in other.matches}
        shares.append(np.mean([each.photo in known for each in one.matches]))
        for each in one.matches:
            assert each.similarity == pytest.approx(
                known.get(each.photo, each.similarity), abs=1e-6
            )
        assert one.threshold == other.threshold
        values = [each.similarity for each in one.matches]
        assert values == sorted(values, reverse=True)
    assert np.mean(shares) >= 0.95


def test_many_matches_are_found_exactly(gallery: Gallery) -> None:
    query = _queries(1)
    few, exact = (gallery.search_many(query, count=500, is_exact=each) for each in (False, True))
    assert few == exact
    assert gallery.search_many(_queries()[:0]) == []


def test_a_change_leaves_the_index_of_the_other_parts(
    gallery: Gallery, capsys: pytest.CaptureFixture[str]
) -> None:
    remove_from_gallery(gallery.path, photos=["0/0.jpg"])
    changed = Gallery.open(gallery.path)
    assert [each is not None for each in changed.indexes].count(True) == 1
    found = changed.search(cloud(0, 1)[0])
    assert "0/0.jpg" not in [each.photo for each in found.matches]
    capsys.readouterr()
    assert main(["gallery", "index", str(gallery.path)]) == 0
    assert "1299 of them now" in capsys.readouterr().out
    assert not any(is_new for _, is_new in build_indexes(changed.manifest, changed.vectors))


def test_an_indexed_gallery_is_used_from_threads_and_pickled(gallery: Gallery) -> None:
    expected = gallery.search_many(_queries(20))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(gallery.search, _queries(20))) == expected
    assert pickle.loads(pickle.dumps(gallery)).search_many(_queries(20)) == expected


def test_without_usearch_it_is_compared_as_a_whole_and_not_indexed(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingDependencyError("an index needs usearch, which is not installed.")

    monkeypatch.setattr(index, "require", missing)
    assert open_indexes(gallery.manifest) == ()
    with pytest.raises(MissingDependencyError):
        next(build_indexes(gallery.manifest, gallery.vectors))


def test_an_index_may_be_opened_before_the_network(gallery: Gallery) -> None:
    program = (
        "import sys, pplcnet; gallery = pplcnet.Gallery.open(sys.argv[1]); import onnxruntime; "
        "print([each is not None for each in gallery.indexes])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(gallery.path)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[True, True, False]", done.stderr


def test_nothing_in_the_gallery_itself_is_read_as_an_index(
    gallery: Gallery, tmp_path: Path
) -> None:
    names = {each.name for each in gallery.path.iterdir()}
    assert not any("usearch" in name for name in names)
    assert len(list((tmp_path / "cache" / "indexes").iterdir())) == 2
