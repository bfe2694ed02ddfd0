"""Galleries are made, added to and removed from; readers see the old or the new one, whole."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import DatasetError, GalleryError, InputError, StorageError
from pplcnet.gallery import changing, parts, switching
from pplcnet.gallery.changing import (
    add_to_gallery,
    build_gallery,
    photos_not_in,
    remove_from_gallery,
    write_gallery,
)
from pplcnet.gallery.class_photos import find_class_photos
from pplcnet.gallery.gallery import Gallery
from pplcnet.gallery.manifest import GALLERY_FILE
from pplcnet.gallery.nearest import nearest
from pplcnet.runtime.model import Model
from pplcnet.system.locking import locked
from tests.conftest import write_photos
from tests.gallery.vectors import NETWORK, SIZE, cloud, rows


@pytest.fixture(scope="module")
def model(common_bundle: Path) -> Model:
    return Model(common_bundle)


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "g", NETWORK, SIZE, rows()).path


def _everything(gallery: Gallery) -> list[tuple[str, str]]:
    labels = [gallery.classes[label] for label in gallery.labels]
    return list(zip(labels, gallery.photos, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_read_again(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 7 * SIZE * np.dtype(dtype).itemsize)
    written = write_gallery(tmp_path / "g", NETWORK, SIZE, rows(), dtype=dtype)
    opened = Gallery.open(tmp_path / "g")
    assert len(opened) == 40
    assert len(opened.manifest.parts) == 6
    assert opened.classes == ("class_0", "class_1", "class_2", "class_3")
    assert opened.manifest == written.manifest
    expected = [(row.label, row.photo) for row in rows()]
    assert _everything(opened) == expected
    vectors = np.concatenate(opened.vectors)
    assert vectors.dtype == np.dtype(dtype)
    np.testing.assert_allclose(vectors, [row.vector for row in rows()], atol=1e-3)
    assert not opened.has_changed()


def test_a_gallery_of_photos_finds_them_again(
    model: Model, common_photos: Path, tmp_path: Path
) -> None:
    photos, _ = find_class_photos(common_photos)
    made = build_gallery(model, photos, tmp_path / "g")
    assert (made.added, made.known) == (36, 0)
    assert made.gallery.manifest.classes == {"class_0": 12, "class_1": 12, "class_2": 12}
    photo = common_photos / "class_1" / "003.png"
    found = made.gallery.search(model.embed(photo), count=3)
    assert found.matches[0].photo == "class_1/003.png"
    assert found.matches[0].similarity == pytest.approx(1, abs=1e-5)
    assert len(found.matches) == 3
    made.gallery.check_model(model)


def test_new_photos_and_classes_are_added_and_copies_are_not(
    model: Model, common_photos: Path, tmp_path: Path
) -> None:
    photos, _ = find_class_photos(common_photos)
    first = [photo for photo in photos if photo.label != "class_2"]
    build_gallery(model, first, tmp_path / "g")
    opened = Gallery.open(tmp_path / "g")
    made = add_to_gallery(tmp_path / "g", model, photos)
    assert (made.added, made.known) == (12, 24)
    assert opened.has_changed()
    assert len(opened) == 24  # what was opened stays as it was
    assert opened.search(model.embed(photos[0].path)).matches[0].photo == photos[0].name
    whole = build_gallery(model, photos, tmp_path / "whole").gallery
    assert _everything(made.gallery) == _everything(whole)
    assert made.gallery.manifest.threshold == whole.manifest.threshold
    assert photos_not_in(made.gallery, photos) == []
    again = add_to_gallery(tmp_path / "g", model, photos)
    assert (again.added, again.known) == (0, 36)


def test_small_parts_are_merged_and_large_ones_stay(
    model: Model, common_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "SMALL_ROWS", 13)
    photos, _ = find_class_photos(common_photos)
    build_gallery(model, photos[:12], tmp_path / "g")
    two = add_to_gallery(tmp_path / "g", model, photos[12:24]).gallery
    assert [part.rows for part in two.manifest.parts] == [24]
    three = add_to_gallery(tmp_path / "g", model, photos[24:]).gallery
    assert [part.rows for part in three.manifest.parts] == [24, 12]
    assert three.manifest.parts[0] == two.manifest.parts[0]
    assert sorted(os.listdir(tmp_path / "g")) == sorted([GALLERY_FILE, *three.manifest.files])


def test_classes_and_photos_are_removed(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = remove_from_gallery(gallery, classes=["class_1"], photos=["class_0/0_3.jpg"])
    assert left.manifest.classes == {"class_0": 9, "class_2": 10, "class_3": 10}
    assert "class_0/0_3.jpg" not in left.photos
    assert Gallery.open(gallery).manifest == left.manifest
    found = left.search(cloud(1, 1)[0], count=29)
    assert {match.label for match in found.matches} == {"class_0", "class_2", "class_3"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": ["class_9"]}, "unknown class 'class_9': did you mean"),
        ({"photos": ["class_0/none.jpg"]}, "has no photo class_0/none.jpg"),
        ({"classes": ["class_0", "class_1", "class_2", "class_3"]}, "nothing would be left"),
    ],
)
def test_what_cannot_be_removed_leaves_everything(
    gallery: Path, arguments: dict[str, list[str]], said: str
) -> None:
    before = {path.name: path.read_bytes() for path in gallery.iterdir()}
    with pytest.raises(InputError, match=said):
        remove_from_gallery(gallery, **arguments)
    assert {path.name: path.read_bytes() for path in gallery.iterdir()} == before


def test_broken_photos_are_named_and_nothing_is_written(
    model: Model, photos: Path, tmp_path: Path
) -> None:
    (photos / "class_0" / "bad.jpg").write_text("no photo")
    found, _ = find_class_photos(photos)
    with pytest.raises(DatasetError, match=r"bad\.jpg: not an image"):
        build_gallery(model, found, tmp_path / "g")
    assert not (tmp_path / "g").exists()
    good = [photo for photo in found if photo.path.name != "bad.jpg"]
    build_gallery(model, good, tmp_path / "g")
    before = sorted(os.listdir(tmp_path / "g"))
    with pytest.raises(DatasetError, match=r"bad\.jpg"):
        add_to_gallery(tmp_path / "g", model, found)
    assert sorted(os.listdir(tmp_path / "g")) == before


def test_a_photo_with_two_classes_is_refused(model: Model, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "class_0" / "000.png", photos / "class_1" / "copy.png")
    found, _ = find_class_photos(photos)
    with pytest.raises(
        DatasetError, match=r"copy\.png: is the same file as one of class 'class_0'"
    ):
        build_gallery(model, found, tmp_path / "g")


def test_a_full_disk_leaves_the_old_gallery(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in gallery.iterdir()}
    written = []

    def fail(path: Path, *content: bytes) -> None:
        written.append(path)
        if len(written) == 3:  # the manifest
            raise OSError(28, "No space left on device")
        path.write_bytes(b"".join(bytes(piece) for piece in content))

    monkeypatch.setattr(switching, "write_durably", fail)
    monkeypatch.setattr(parts, "write_durably", fail)
    with pytest.raises(StorageError, match="No space left"):
        remove_from_gallery(gallery, classes=["class_1"])
    assert {path.name: path.read_bytes() for path in gallery.iterdir()} == before
    assert len(Gallery.open(gallery)) == 40


def test_what_a_killed_writer_left_goes_with_the_next_change(gallery: Path) -> None:
    leftovers = [f"vectors-{'0' * 32}.npy", f".photos-{'1' * 32}.json.writing",
                 f".{GALLERY_FILE}.writing"]  # fmt: skip
    for name in [*leftovers, "notes.txt"]:
        (gallery / name).write_text("left")
    assert len(Gallery.open(gallery)) == 40
    remove_from_gallery(gallery, classes=["class_1"])
    names = set(os.listdir(gallery))
    assert names & set(leftovers) == set()
    assert "notes.txt" in names  # its owner's


def test_one_writer_at_a_time(gallery: Path) -> None:
    with locked(gallery):
        caught: list[Exception] = []

        def change() -> None:
            try:
                remove_from_gallery(gallery, classes=["class_1"])
            except InputError as error:
                caught.append(error)

        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
    assert "in use by another pplcnet process" in str(caught[0])


def test_a_reader_that_meets_a_switch_reads_again(
    gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pplcnet.gallery import gallery as module

    old = module.read_manifest(gallery)
    remove_from_gallery(gallery, classes=["class_1"])
    seen = [old]
    original = module.read_manifest
    monkeypatch.setattr(
        module, "read_manifest", lambda path: seen.pop() if seen else original(path)
    )
    assert len(Gallery.open(gallery)) == 30


def test_places_that_are_no_galleries_are_refused(
    model: Model, common_photos: Path, gallery: Path, tmp_path: Path
) -> None:
    photos, _ = find_class_photos(common_photos)
    (tmp_path / "file").write_text("")
    for out, said in (
        (gallery, "already holds a gallery"),
        (common_photos, "exists and is not a gallery"),
        (tmp_path / "file", "is a file"),
    ):
        with pytest.raises(InputError, match=said):
            build_gallery(model, photos, out)
    made = build_gallery(model, photos, gallery, overwrite=True)
    assert len(made.gallery) == 36
    assert sorted(os.listdir(gallery)) == sorted([GALLERY_FILE, *made.gallery.manifest.files])


def test_another_network_or_precision_is_refused_in_one_sentence(
    model: Model, gallery: Path, common_photos: Path, tmp_path: Path
) -> None:
    photos, _ = find_class_photos(common_photos)
    with pytest.raises(InputError, match="was made with another network"):
        add_to_gallery(gallery, model, photos)
    with pytest.raises(InputError, match="was made with another network"):
        Gallery.open(gallery).check_model(model)
    made = build_gallery(model, photos, tmp_path / "own").gallery
    text = (
        (made.path / GALLERY_FILE)
        .read_text()
        .replace('"float32",\n    "bundle"', '"int8",\n    "bundle"')
    )
    values = json.loads(text)
    values.pop("checksum")
    from pplcnet.bundle.manifest_checks import checksum_of
    from pplcnet.gallery.manifest import GalleryManifest

    text = json.dumps({**values, "checksum": checksum_of(values)})
    manifest = GalleryManifest.from_json(text, "")
    with pytest.raises(InputError, match="were computed in int8, but the bundle runs in float32"):
        Gallery.of(made.path, manifest).check_model(model)


def test_a_pickled_gallery_opens_its_files(gallery: Path) -> None:
    opened = Gallery.open(gallery)
    content = pickle.dumps(opened)
    assert len(content) < 1000
    again = pickle.loads(content)
    query = cloud(2, 1, seed=5)
    assert again.search(query[0]) == opened.search(query[0])


def test_a_gallery_need_not_fit_in_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", SIZE * 4 * 9)
    made = write_gallery(tmp_path / "g", NETWORK, SIZE, rows(each=30))
    queries = cloud(3, 5, seed=2)
    expected = nearest([np.stack([row.vector for row in rows(each=30)])], queries, 4)
    found = made.search_many(queries, count=4)
    for each, numbers in zip(found, expected.rows, strict=True):
        assert [match.photo for match in each.matches] == [made.photos[at] for at in numbers]


def test_the_folder_is_data_of_known_files_only(gallery: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(gallery, tmp_path / "elsewhere"))
    assert len(Gallery.open(moved)) == 40
    with pytest.raises(GalleryError, match="no such gallery"):
        Gallery.open(tmp_path / "none")
    with pytest.raises(GalleryError, match="is not a gallery; 'pplcnet gallery build"):
        Gallery.open(write_photos(tmp_path / "photos", 1, 1))
