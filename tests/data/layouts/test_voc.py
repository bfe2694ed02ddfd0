"""Pascal VOC's XML files: where they lie, which photo each belongs to, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from tests.data.layouts.boxes import refusal, said, write_photo

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def write_xml(path: Path, *objects: tuple[object, ...], filename: str = "", size: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    inner = "".join(OBJECT.format(*each) for each in objects)
    path.write_text(f"<annotation><filename>{filename}</filename>{size}{inner}</annotation>")


CAT, DOG = ("cat", 0, 1, 2, 30, 40.5), ("dog", 1, 5, 6, 7, 8)
SAID = {"a.jpg": [("cat", 1, 2, 30, 40.5), ("dog", 5, 6, 7, 8)], "b.jpg": []}


@pytest.mark.parametrize(
    ("xml", "photos", "given"),
    [
        ("Annotations", "JPEGImages", ""),
        ("Annotations", "images", ""),
        ("voc", "images", "voc"),
        ("", "", ""),
    ],
)
def test_files_are_found_where_tools_put_them(
    tmp_path: Path, xml: str, photos: str, given: str
) -> None:
    for name in SAID:
        write_photo(tmp_path / photos / name)
    write_xml(tmp_path / xml / "a.xml", CAT, DOG)
    write_xml(tmp_path / xml / "b.xml")
    dataset = Dataset.open(tmp_path / given)
    assert dataset.task == "detection"
    assert dataset.classes == ("cat", "dog")
    assert said(dataset) == SAID
    assert dataset.images[0].annotation.is_crowd.tolist() == [False, True]
    assert dataset.notes == ("1 object is marked as difficult: neither trained on nor counted.",)


def test_lists_give_the_splits(tmp_path: Path) -> None:
    for at in range(4):
        write_photo(tmp_path / "JPEGImages" / f"{at}.jpg")
        write_xml(tmp_path / "Annotations" / f"{at}.xml", CAT)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name, stems in (("train", "0"), ("val", "1.jpg"), ("test", "2 1"), ("trainval", "0\n1")):
        (lists / f"{name}.txt").write_text(stems)
    dataset = Dataset.open(tmp_path)
    assert [image.split for image in dataset.images] == ["train", "validation", "test"]
    assert "1 XML file is in none of the lists of the splits, and not used." in dataset.notes
    (lists / "val.txt").write_text("0")
    assert "0 is also in the list of the train split" in refusal(tmp_path)


def test_split_folders_are_read_together(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_photo(tmp_path / split / f"{split}.jpg")
        write_xml(tmp_path / split / f"{split}.xml", CAT)
    dataset = Dataset.open(tmp_path)
    assert [image.split for image in dataset.images] == ["train", "validation"]


def test_a_photo_without_a_file_is_not_used_and_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "c.jpg"):
        write_photo(tmp_path / "images" / name)
    write_xml(tmp_path / "Annotations" / "renamed.xml", CAT, filename="D:\\photos\\a.jpg")
    dataset = Dataset.open(tmp_path)
    assert list(said(dataset)) == ["a.jpg"]
    assert "1 photo in images without an XML file is not used" in dataset.notes[0]


def test_all_faults_come_in_one_message(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "b.png", "c.jpg"):
        write_photo(tmp_path / "images" / name)
    write_xml(tmp_path / "Annotations" / "a.xml", ("cat", 0, "left", 2, 3, 4), ("", 0, 1, 2, 3, 4))
    write_xml(tmp_path / "Annotations" / "b.xml", CAT)
    write_xml(tmp_path / "Annotations" / "z.xml", CAT)
    (tmp_path / "Annotations" / "c.xml").write_text("<svg/>")
    message = refusal(tmp_path)
    for sentence in (
        "Annotations/a.xml: object 1 (cat) has xmin 'left', ymin '2', xmax '3', ymax '4'; all four",
        "Annotations/a.xml: object 2 has no name",
        "Annotations/b.xml: 2 photos are called b",
        "Annotations/z.xml: there is no photo z in images",
        "Annotations/c.xml: begins with <svg>, and VOC's files with <annotation>",
    ):
        assert sentence in message


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<annotation>&b;</annotation>"
)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (LAUGHS, "has a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "has a document type"),
        ("<a>" * 40, "nests elements more than 16 deep"),
        ("<annotation>", "is not XML"),
        ("", "is not XML"),
    ],
)
def test_hostile_xml_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    write_photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(content)
    assert f"Annotations/a.xml: {complaint}" in refusal(tmp_path)
