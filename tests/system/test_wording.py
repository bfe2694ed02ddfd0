"""Names from outside, on a terminal and in JSON."""

from __future__ import annotations

import json
import os

import pytest

from pplcnet.errors import DatasetError, ImageError, InputError, WeightsError
from pplcnet.system.wording import counted, json_text, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Größe 日本語.jpg", "Größe 日本語.jpg"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("a\nerror: all is lost", r"a\nerror: all is lost"),
        ("a\rb\tc", r"a\rb\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("\x7f\x00", r"\x7f\x00"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("a\u200bb\ufeffc", r"a\u200bb\ufeffc"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
        (os.fsdecode(b"\xff.png"), r"\xff.png"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("全角\u3000空白", "全角\u3000空白"),
        ("C:\\new\\x1b.jpg", "C:\\new\\x1b.jpg"),
    ],
)
def test_names_are_shown_and_not_obeyed(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize("kind", [InputError, WeightsError, DatasetError])
def test_an_error_is_one_printable_line_and_one_for_each_fault(kind: type[InputError]) -> None:
    error = kind("a\nb\x1b[2J.npz: is damaged", ["c\rd", "e"])
    assert str(error) == "a\\nb\\x1b[2J.npz: is damaged\n  c\\rd\n  e"
    assert error.faults == (r"c\rd", "e")


def test_the_reason_of_an_image_error_is_printable() -> None:
    assert str(ImageError("a\n.jpg", "bad \x1b]0;title\x07")) == "a\\n.jpg: bad \\x1b]0;title\\x07"


@pytest.mark.parametrize(
    "value",
    [
        "a\x1b[31m\n\x9b\u202e\ud800\u2028",
        "日本語 Größe",
        {"\x7f": ["\udcff", 1.5, None]},
        "\U000e0041",
    ],
)
def test_json_reads_back_exactly_and_holds_nothing_that_a_terminal_obeys(value: object) -> None:
    for indent in (None, 2):
        text = json_text(value, indent=indent)
        assert json.loads(text) == value
        assert printable(text.replace("\n", "")) == text.replace("\n", "")


def test_json_keeps_readable_characters_and_has_no_nan() -> None:
    assert json_text({"名": "é"}) == '{"名": "é"}'
    assert json_text([float("nan"), (float("inf"), 1.0)]) == "[null, [null, 1.0]]"


def test_numbers_agree_with_their_nouns() -> None:
    assert counted(0, "image") == "0 images"
    assert counted(1, "image") == "1 image"
    assert counted(2, "copy", "copies") == "2 copies"
    assert counted(1, "class") == "1 class"
    assert counted(0, "class") == "0 classes"
    assert counted(1, "image is", "images are") == "1 image is"
