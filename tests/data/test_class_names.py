"""Names that look alike: one class, or an error, and never two classes by accident."""

from __future__ import annotations

import os
import random
import unicodedata
from pathlib import Path

import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, write_splits
from pplcnet.errors import DatasetError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks.multilabel.decoding import thresholds_of
from tests.data.layouts.tables import open_table, refusal

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


def _photos(root: Path, *folders: str) -> Path:
    for name in folders:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            (root / name / f"{number}.png").touch()
    return root


@pytest.mark.parametrize("on_disk", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("written", [COMPOSED, DECOMPOSED])
def test_a_photo_is_found_in_either_form_of_its_accents(
    tmp_path: Path, on_disk: str, written: str
) -> None:
    _photos(tmp_path, f"{on_disk}/{on_disk}", "b")
    dataset = open_table(
        tmp_path, f"path,label\n{written}/{written}/0.png,{written}\nb/0.png,b\nb/1.png,b\n"
    )
    assert dataset.images[0].path == tmp_path / on_disk / on_disk / "0.png"
    assert dataset.classes == ("b", COMPOSED)


def test_the_form_that_is_written_wins_where_both_are_there(tmp_path: Path) -> None:
    _photos(tmp_path, COMPOSED, DECOMPOSED)
    dataset = open_table(tmp_path, f"path,label\n{DECOMPOSED}/0.png,a\n{COMPOSED}/0.png,b\n")
    assert [image.path.parent.name for image in dataset.images] == [DECOMPOSED, COMPOSED]


def test_class_folders_of_either_form_are_one_class(tmp_path: Path) -> None:
    _photos(tmp_path / "train", COMPOSED, "tea")
    _photos(tmp_path / "val", DECOMPOSED, "tea")
    dataset = Dataset.open(tmp_path)
    assert dataset.classes == (COMPOSED, "tea")
    assert dataset.class_counts() == (4, 4)


def test_labels_of_either_form_are_one_class(folder: Path) -> None:
    dataset = open_table(folder, f"path,label\n0.png,{COMPOSED}\n1.png,{DECOMPOSED}\n2.png,tea\n")
    assert dataset.classes == (COMPOSED, "tea")
    multi = open_table(folder, f"path,labels\n0.png,{COMPOSED};tea\n1.png,{DECOMPOSED}\n")
    assert multi.classes == (COMPOSED, "tea")
    repeated = f"several columns named {COMPOSED}"
    assert repeated in refusal(folder, f"path,{COMPOSED},{DECOMPOSED}\n0.png,1,0\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("black cat", "black  cat"), ("black cat", "black\u00a0cat"),
     ("cat", "cat\u200b"), ("\uff21\uff22", "AB"), ("1", "1.0"), ("black cat", "black_cat"),
     ("'cat'", "cat")],
)  # fmt: skip
def test_names_that_look_alike_are_refused(folder: Path, one: str, other: str) -> None:
    message = refusal(folder, f"path,label\n0.png,{one}\n1.png,{other}\n2.png,x\n")
    assert "differ only in case, spaces or notation" in message
    assert f"{one!r} (line 2)" in message
    assert f"{other!r} (line 3)" in message
    photos = _photos(folder / "photos", one, other)
    with pytest.raises(DatasetError, match="differ only in case, spaces or notation"):
        Dataset.open(photos)


def test_single_letters_of_either_case_are_two_classes(folder: Path) -> None:
    assert open_table(folder, "path,label\n0.png,a\n1.png,A\n").classes == ("A", "a")


def test_class_folders_that_are_numbers_stay_as_they_are(tmp_path: Path) -> None:
    assert Dataset.open(_photos(tmp_path, "0", "00", "10", "9")).classes == ("0", "00", "10", "9")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (os.fsdecode(b"caf\xe9"), r"class caf\\xe9: the name is not UTF-8; rename it"),
        ("two\nlines", r"'two\\nlines': contains a line break or control character"),
        ("\x1b[31mred", "control character"),
        ("two\u2028lines", "control character"),
        ("   ", "a class has an empty name"),
        ("\u200b\u2060", "the name has no visible character"),
    ],
    ids=["not UTF-8", "line break", "escape sequence", "line separator", "blank", "invisible"],
)
def test_a_class_folder_that_no_file_could_name_is_refused(
    tmp_path: Path, name: str, complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        Dataset.open(_photos(tmp_path, name, "other"))


@pytest.mark.parametrize("seed", range(12))
def test_every_class_that_a_folder_may_have_is_read_back_from_split_csv(
    tmp_path: Path, seed: int
) -> None:
    parts = ["nan", "cat", "dog", ";", "|", ",", '"', "'", "=", "-", "#N/A", " ", "[", "]", "1",
             ".0", "e\u0301", "\u00e9", "\u200b", "true", "\\", ":", "path", "labels",
             "Cat"]  # fmt: skip
    generator = random.Random(seed)
    names = ["other"]
    while len(names) < 25:
        name = "".join(generator.choices(parts, k=generator.randint(1, 3)))
        if not name.startswith(".") and not name_faults(
            {class_name(each) for each in (*names, name)}
        ):
            names.append(name)
    dataset = Dataset.open(_photos(tmp_path / "photos", *names))
    parts_of_a_run = draw_splits(dataset, validation=0.5, test=0, seed=0)
    contents = {image.path: "0" * 64 for image in dataset.images}
    write_splits(parts_of_a_run, tmp_path / "split.csv", contents)
    again = Dataset.open(tmp_path / "split.csv")
    assert again.classes == dataset.classes
    assert {(i.path.resolve(), i.shown[0]) for i in again.images} == {
        (i.path.resolve(), i.shown[0]) for i in dataset.images
    }


def test_a_bundle_of_either_form_fits_the_photos_of_the_other() -> None:
    def read(*classes: str) -> Manifest:
        manifest = Manifest(
            classes=classes,
            preprocessing=Preprocessing(image_size=(32, 32)),
            network={"name": "pplcnet_x0_25"},
            variants={},
            task="multilabel",
            decoding={"thresholds": dict.fromkeys(classes, 0.25)},
        )
        return Manifest.from_json(manifest.to_json(), "the bundle")

    manifest = read(DECOMPOSED, "tea")
    assert manifest.classes == (COMPOSED, "tea")
    assert thresholds_of(manifest) == (0.25, 0.25)
    assert read(DECOMPOSED, COMPOSED).classes == (DECOMPOSED, COMPOSED)
