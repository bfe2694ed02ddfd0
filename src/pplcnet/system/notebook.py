"""Small HTML snippets for notebooks; every name in them is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from pplcnet.errors import printable

__all__ = ["bars", "facts_table", "shortened"]

LONGEST = 60
BAR = "#3b78c2"
CELL = "padding:1px 8px;border:0;text-align:left;background:none"


def bars(title: str, rows: Sequence[tuple[str, float]], note: str = "") -> str:
    """A bar for each (label, probability from 0 to 1), with a title."""
    lines = "".join(
        f"<tr style='background:none'><td style='{CELL}'>{_text(label)}</td>"
        f"<td style='{CELL};width:12em'><div style='background:{BAR};height:.8em;"
        f"width:{100 * min(max(share, 0.0), 1.0):.1f}%'></div></td>"
        f"<td style='{CELL}'>{share:.3f}</td></tr>"
        for label, share in rows
    )
    table = f"<table style='border:0'>{lines}</table>" if rows else ""
    return f"<div><b>{_text(title)}</b>{table}{f'<i>{_text(note)}</i>' if note else ''}</div>"


def facts_table(title: str, rows: Sequence[tuple[str, object]]) -> str:
    """A table with two columns and a title."""
    lines = "".join(
        f"<tr style='background:none'><td style='{CELL}'>{_text(name)}</td>"
        f"<td style='{CELL}'>{_text(value)}</td></tr>"
        for name, value in rows
    )
    return f"<div><b>{_text(title)}</b><table style='border:0'>{lines}</table></div>"


def shortened(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(_cut(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _cut(name: object) -> str:
    text = printable(str(name))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _text(value: object) -> str:
    from html import escape  # slow to import, and only notebooks need it

    return escape(printable(str(value)))
