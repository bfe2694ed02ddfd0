"""A network's name in place of a bundle: its official weights, converted on first use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pplcnet.cli.console import quiet_frameworks
from pplcnet.weights.sources import official_name

__all__ = ["COMPARED", "bundle_of"]

COMPARED = 64
"""Number of photos on which official weights are compared with Keras, on first use."""


def bundle_of(text: str, photos: Callable[[Path], Sequence[Path]]) -> str:
    """The bundle: a path unchanged, or that of an official network.

    Args:
        photos: called on first use with a folder that photos may be written to.
    """
    if official_name(text) is None or Path(text).exists():
        return text
    from pplcnet.weights.official import official_bundle

    with tempfile.TemporaryDirectory() as folder:
        given = photos(Path(folder))
        return str(official_bundle(text, given, before_conversion=quiet_frameworks))
