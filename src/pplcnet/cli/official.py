"""A network's name in place of a bundle: that of its official weights, made the first time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pplcnet.cli.console import quiet_frameworks
from pplcnet.weights.sources import official_name

__all__ = ["COMPARED", "bundle_of"]

COMPARED = 64
"""Photos on which a network with official weights is compared with Keras, the first time."""


def bundle_of(text: str, photos: Callable[[Path], Sequence[Path]]) -> str:
    """The bundle: a path as it is, or that of an official network.

    Args:
        photos: called the first time, with a folder that they may be written to.
    """
    if official_name(text) is None or Path(text).exists():
        return text
    from pplcnet.weights.official import official_bundle

    with tempfile.TemporaryDirectory() as folder:
        given = photos(Path(folder))
        return str(official_bundle(text, given, before_conversion=quiet_frameworks))
