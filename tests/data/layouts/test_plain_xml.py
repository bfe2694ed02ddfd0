"""XML without entities, of a bounded size."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.layouts import plain_xml
from pplcnet.data.layouts.plain_xml import parse_xml
from pplcnet.errors import DatasetError


def test_elements_and_their_text(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a> x<b c='1'>Ma&#223;</b><b/> y<!-- z --></a>")
    root = parse_xml(path)
    assert root.name == "a"
    assert root.text == "x y"
    assert [each.text for each in root.all("b")] == ["Maß", ""]
    assert root.text_of("b") == "Maß"
    assert root.text_of("b", "d") == ""


def test_size_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a>" + "<b/>" * 20 + "</a>")
    monkeypatch.setattr(plain_xml, "MOST_ELEMENTS", 20)
    with pytest.raises(DatasetError, match="or has more than 20"):
        parse_xml(path)
    monkeypatch.setattr(plain_xml, "LARGEST_BYTES", 20)
    with pytest.raises(DatasetError, match="more than 20 bytes"):
        parse_xml(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        parse_xml(tmp_path / "none.xml")
