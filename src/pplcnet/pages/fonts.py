"""Names of classes on pictures, in any script that this machine has letters for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pplcnet.errors import require

__all__ = ["lettering"]

# Matplotlib looks for a letter in one font after the other, and comes with the first alone.
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR",
    "Source Han Sans", "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans",
    "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic",
    "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip


@contextmanager
def lettering() -> Iterator[None]:
    """Draw with all fonts of `FONTS` that are there; a letter of none becomes a box, silently."""
    matplotlib = require("matplotlib", purpose="drawing", extra="train")
    from matplotlib.font_manager import get_font_names

    there = set(get_font_names())
    fonts = [name for name in FONTS if name in there]
    with matplotlib.rc_context({"font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield
