"""Paths in lists and tables, and how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("images\\rose\\0.png", "images/rose/0.png"),
        ("./images//rose/./0.png", "images/rose/0.png"),
        ("images/bell/../rose/0.png", "images/bell/../rose/0.png"),
        ("{flowers}/images/rose/0.png", "images/rose/0.png"),
        ("  images/rose/0.png  ", "images/rose/0.png"),
    ],
)
def test_a_path_may_be_written_in_several_ways(flowers: Path, name: str, found: str) -> None:
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "all.txt").write_text(f"{name.format(flowers=flowers)} 0\nimages/bell/0.png 1\n")
    assert Dataset.open(flowers / "all.txt").images[0].path == flowers / found


def test_a_backslash_that_belongs_to_a_name_is_left_alone(flowers: Path) -> None:
    (flowers / "a\\b.png").touch()
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "all.txt").write_text("a\\b.png 0\nimages/bell/0.png 1\n")
    assert Dataset.open(flowers / "all.txt").images[0].path.name == "a\\b.png"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("https://host.example/a.png", "is a URL; download the photos"),
        ("s3://bucket/a.png", "is a URL"),
        ("C:\\photos\\a.png", "is a path on a Windows drive"),
        ("images/rose", "is a folder; list its photos one by one"),
        ("images/rose/0.PNG", r"does not exist .but 0\.png does"),
        ("Images/Rose/0.png", r"does not exist .but 0\.png does"),
        ("images/rose/0", r"does not exist .but 0\.png does"),
        ("images/rose/9.png", r"9\.png does not exist$"),
        ("'images/rose/0.png'", "does not exist .but it does without the quotes"),
        ("/images/rose/0.png", "does not exist .but it does without the leading /"),
        ("images%2Frose%2F0.png", "does not exist .but it does without the % codes of a URL"),
        ("rose/0.png", "does not exist .but images/rose/0.png does"),
        ("n" * 5000 + ".png", "does not exist"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(flowers: Path, name: str, complaint: str) -> None:
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "all.txt").write_text(f"{name} 0\n")
    with pytest.raises(DatasetError, match=complaint) as caught:
        Dataset.open(flowers / "all.txt")
    assert len(str(caught.value)) < 1000


def test_a_path_that_starts_elsewhere_says_where(flowers: Path) -> None:
    inner = flowers / "lists"
    inner.mkdir()
    (inner / "labels.txt").write_text("rose\nbell\n")
    (inner / "all.txt").write_text("images/rose/0.png 0\n")
    with pytest.raises(
        DatasetError, match=rf"images/rose/0.png does not exist .but it does in {flowers}"
    ):
        Dataset.open(inner / "all.txt")
