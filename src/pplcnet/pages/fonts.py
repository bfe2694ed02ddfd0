"""Class names in images, in any script for which this machine has a font."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pplcnet.errors import require

__all__ = ["installed_fonts"]

# Matplotlib tries the fonts in this order for each character; it ships only the first.
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR",
    "Source Han Sans", "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans",
    "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic",
    "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip


@contextmanager
def installed_fonts() -> Iterator[None]:
    """Draw with the installed fonts of `FONTS`; a character in none of them becomes a box."""
    matplotlib = require("matplotlib", purpose="drawing", extra="train")
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    fonts = [name for name in FONTS if name in installed]
    with matplotlib.rc_context({"font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield
