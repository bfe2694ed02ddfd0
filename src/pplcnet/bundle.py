"""The bundle: everything about a trained classifier in one folder, or the same packed as .zip.

`manifest.json` says what is in it: the classes, the preprocessing, the network, every file with
its sha256, and for every variant what was measured. A bundle is data: nothing in it is executed
when it is opened, and every byte is checked against the manifest before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pplcnet.bundle_reading import Bundle, BundleChangedError, read_consistently
from pplcnet.manifest import FORMAT_VERSION, MANIFEST, Manifest, today

if TYPE_CHECKING:
    from pplcnet.bundle_writing import check_place, update_bundle, write_bundle

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "Bundle",
    "BundleChangedError",
    "Manifest",
    "check_place",
    "read_consistently",
    "today",
    "update_bundle",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    """What writes is loaded on first use: most processes only read."""
    if name in ("check_place", "update_bundle", "write_bundle"):
        return getattr(importlib.import_module("pplcnet.bundle_writing"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
