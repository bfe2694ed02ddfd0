"""Reads a page back."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any


class PageReader(HTMLParser):
    """Tags, attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def sections(self) -> list[str | None]:
        """Their ids."""
        return [attributes.get("id") for tag, attributes in self.tags if tag == "section"]

    def links(self) -> list[str | None]:
        """Where the navigation leads."""
        return [attributes["href"] for tag, attributes in self.tags if tag == "a"]


def cells_of(text: str) -> dict[str, Any]:
    """The data of the script."""
    (data,) = re.findall(r'id="photos-of-cells">(.*?)</script>', text)
    cells: dict[str, Any] = json.loads(data)
    return cells
