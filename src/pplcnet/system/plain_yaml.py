"""YAML as text, lists and mappings: no type guessing, no objects, bounded size.

`no`, `010`, `1_000`, dates and `~` stay as text. Aliases return the same value again
without copying it.
"""

from __future__ import annotations

from typing import Any

from pplcnet.errors import InputError, require

__all__ = ["Text", "parse_yaml"]

SIZE_LIMIT = 1 << 20
MAX_DEPTH = 16
REPEATED_LIMIT = 16 * SIZE_LIMIT
"""Characters of all values, counting repeated ones each time: writing a value out
needs memory for them."""


class Text(str):
    """A scalar as written; `is_plain` if it has no quotes."""

    __slots__ = ("is_plain",)
    is_plain: bool

    @property
    def is_null(self) -> bool:
        """Whether it stands for no value."""
        return self.is_plain and self in ("", "~", "null", "Null", "NULL")


def parse_yaml(text: str, *, purpose: str) -> Any:
    """Parse text that holds one document.

    Args:
        purpose: what PyYAML is needed for, if it is missing: "reading inference.yml".

    Raises:
        InputError: it is not plain YAML of moderate size.
        MissingDependencyError: PyYAML is not installed.
    """
    if len(text) > SIZE_LIMIT:
        raise InputError(f"it has more than {SIZE_LIMIT:,} characters.")
    yaml = require("yaml", purpose=purpose, extra="train")
    try:
        return _Builder(yaml).build(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"it is not YAML ({str(error)[:200] or type(error).__name__}).") from error


class _Builder:
    def __init__(self, yaml: Any) -> None:
        self.yaml = yaml
        self.anchors: dict[str, tuple[Any, int]] = {}
        """Each anchor's value, and its number of characters."""
        self.open: list[tuple[Any, list[Any], str | None]] = []
        self.sizes: list[int] = []
        """Characters so far in each open collection."""
        self.documents: list[Any] = []

    def build(self, text: str) -> Any:
        yaml = self.yaml
        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.ScalarEvent):
                self._check_tag(event)
                value = Text(event.value)
                value.is_plain = not event.style
                self._add(value, event.anchor, 1 + len(value))
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    raise InputError(f"it refers to {event.anchor[:40]!r}, which is not there yet.")
                value, size = self.anchors[event.anchor]
                self._add(value, None, size)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._check_tag(event)
                if len(self.open) >= MAX_DEPTH:
                    raise InputError(f"it nests values more than {MAX_DEPTH} deep.")
                self.open.append((type(event), [], event.anchor))
                self.sizes.append(1)
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                kind, values, anchor = self.open.pop()
                is_mapping = kind is yaml.MappingStartEvent
                self._add(_mapping(values) if is_mapping else values, anchor, self.sizes.pop())
        if len(self.documents) != 1:
            raise InputError(f"it holds {len(self.documents)} documents, not one.")
        return self.documents[0]

    def _check_tag(self, event: Any) -> None:
        if event.tag not in (None, "!"):
            raise InputError(f"it asks for a value of the type {event.tag[:60]}.")

    def _add(self, value: Any, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = value, size
        if self.open:
            self.sizes[-1] += size
            if self.sizes[-1] > REPEATED_LIMIT:
                raise InputError(
                    f"it has more than {REPEATED_LIMIT:,} characters with what its aliases repeat."
                )
        (self.open[-1][1] if self.open else self.documents).append(value)


def _mapping(values: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str):
            raise InputError("it has a list or a mapping as a key.")
        if key in found:
            raise InputError(f"it has the key {key[:60]!r} twice.")
        found[key] = value
    return found
