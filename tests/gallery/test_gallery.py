"""A gallery answers with a class or with none; what is damaged or hostile is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.manifest_checks import checksum_of
from pplcnet.errors import GalleryError, InputError
from pplcnet.gallery.changing import write_gallery
from pplcnet.gallery.gallery import Gallery
from pplcnet.gallery.manifest import GALLERY_FILE, GalleryManifest
from pplcnet.gallery.threshold import choose_threshold
from tests.gallery.vectors import NETWORK, SIZE, cloud, rows


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return write_gallery(tmp_path / "g", NETWORK, SIZE, rows())


def test_a_photo_like_a_class_is_of_it_and_one_like_none_is_none(gallery: Gallery) -> None:
    assert gallery.threshold is not None
    for label in range(4):
        found = gallery.search_many(cloud(label, 20, seed=3))
        assert [each.label for each in found].count(f"class_{label}") >= 18
    strange = gallery.search_many(cloud(9, 50, seed=3))
    assert [each.label for each in strange].count(None) >= 45
    best = strange[0].matches[0]
    values = strange[0].to_dict()
    assert values["label"] is None
    assert values["matches"][0]["photo"] == best.photo
    assert json.loads(json.dumps(values)) == values


def test_a_threshold_of_the_callers_own_decides(gallery: Gallery) -> None:
    vector = cloud(1, 1, seed=4)[0]
    assert gallery.search(vector, threshold=-1).label == "class_1"
    assert gallery.search(vector, threshold=1.1).label is None
    assert gallery.search(vector, threshold=1.1).threshold == 1.1


def test_a_single_class_accepts_everything(tmp_path: Path) -> None:
    alone = write_gallery(tmp_path / "g", NETWORK, SIZE, rows(classes=1))
    assert alone.threshold is None
    assert "threshold  none" in alone.to_text()
    assert alone.search(cloud(9, 1)[0]).label == "class_0"


def test_the_threshold_keeps_its_rate_for_classes_like_those_of_the_gallery() -> None:
    vectors, labels = zip(
        *[(row.vector, int(row.label[-1])) for row in rows(classes=8, each=40, spread=1.0)],
        strict=True,
    )
    parts, numbers = [np.stack(vectors)], np.array(labels, np.int32)
    rates = []
    for rate in (0.01, 0.05, 0.2):
        chosen = choose_threshold(parts, numbers, rate)
        assert chosen is not None
        assert chosen.false_acceptance <= rate
        assert chosen.false_acceptance > rate - 0.01
        assert chosen.photos == 320
        rates.append(chosen.similarity)
    assert rates == sorted(rates, reverse=True)


def test_large_galleries_choose_on_some_of_their_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    from pplcnet.gallery import threshold

    monkeypatch.setattr(threshold, "MOST_PHOTOS", 20)
    vectors = np.stack([row.vector for row in rows(each=15)])
    chosen = choose_threshold([vectors], np.repeat(np.arange(4, dtype=np.int32), 15), 0.1)
    assert chosen is not None
    assert chosen.photos == 20


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.ones(SIZE, np.float32), "do not have length 1"),
        (np.full(SIZE, np.nan, np.float32), "do not have length 1"),
        (np.ones(3, np.float32), r"of shape \(1, 3\)"),
        (np.ones(SIZE), "float64"),
    ],
)
def test_vectors_of_another_kind_are_refused(
    gallery: Gallery, vector: np.ndarray, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        gallery.search(vector)


def test_more_matches_than_photos_are_all_photos(gallery: Gallery) -> None:
    assert len(gallery.search(cloud(1, 1)[0], count=1000).matches) == 40
    with pytest.raises(InputError, match="count is 0"):
        gallery.search(cloud(1, 1)[0], count=0)


@pytest.mark.parametrize("kind", ["vectors", "photos"])
@pytest.mark.parametrize("damage", ["bit", "short", "long", "gone"])
def test_a_damaged_file_is_named(gallery: Gallery, kind: str, damage: str) -> None:
    name = getattr(gallery.manifest.parts[0], kind)
    path = gallery.path / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[-3] ^= 1
        path.write_bytes({"bit": content, "short": content[:-9], "long": content * 2}[damage])
    with pytest.raises(GalleryError, match=f"{name} is missing, or not the file"):
        Gallery.open(gallery.path)


def _rewritten(gallery: Gallery, **changes: object) -> None:
    """The manifest with other values and a right checksum, as an attacker writes it."""
    path = gallery.path / GALLERY_FILE
    values = json.loads(path.read_text()) | changes
    values.pop("checksum")
    path.write_text(json.dumps({**values, "checksum": checksum_of(values)}))


@pytest.mark.parametrize(
    "changes",
    [
        {"size": SIZE * 2},
        {"size": 0},
        {"dtype": "object"},
        {"dtype": "float16"},
        {"classes": {"class_0": 40}},
        {"classes": {"class_0": -40}},
        {"classes": {}},
        {"classes": ["class_0"]},
        {"parts": []},
        {"parts": [{"vectors": "../x.npy", "photos": "p", "rows": 40}]},
        {"files": {"../x.npy": {"sha256": "0" * 64, "bytes": 1}}},
        {"threshold": {"similarity": float("nan")}},
        {"threshold": 0.5},
        {"false_acceptance": "low"},
        {"network": {"name": "x"}},
        {"more": 1, "format_version": 2},
        {"format": "another"},
    ],
)
def test_a_hostile_manifest_is_a_gallery_error(gallery: Gallery, changes: dict) -> None:
    _rewritten(gallery, **changes)
    with pytest.raises(GalleryError):
        Gallery.open(gallery.path)


def test_an_edited_manifest_is_noticed(gallery: Gallery) -> None:
    path = gallery.path / GALLERY_FILE
    path.write_text(path.read_text().replace("class_1", "class_9"))
    with pytest.raises(GalleryError, match="its checksum differs"):
        Gallery.open(gallery.path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GalleryError, match="not UTF-8"):
        Gallery.open(gallery.path)
    path.write_text("{")
    with pytest.raises(GalleryError, match="incomplete or wrong"):
        Gallery.open(gallery.path)


def test_vectors_with_another_header_are_refused(gallery: Gallery) -> None:
    from hashlib import sha256

    name = gallery.manifest.parts[0].vectors
    path = gallery.path / name
    np.save(path, np.zeros((SIZE, 40), np.float32))
    content = path.read_bytes()
    files = json.loads(json.dumps(dict(gallery.manifest.files)))
    files[name] = {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
    _rewritten(gallery, files=files)
    with pytest.raises(GalleryError, match="does not hold 40 vectors of 16 float32"):
        Gallery.open(gallery.path)


def test_a_manifest_is_read_as_it_was_written(gallery: Gallery) -> None:
    text = gallery.manifest.to_json()
    assert GalleryManifest.from_json(text, "g") == gallery.manifest


def test_the_text_says_what_the_threshold_does(gallery: Gallery) -> None:
    text = gallery.to_text()
    assert "40 photos of 4 classes" in text
    assert "for a false acceptance of 0.05; on 40 photos" in text
    assert "40 photos of 4 classes" in repr(gallery)
