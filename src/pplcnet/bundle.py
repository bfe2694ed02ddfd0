"""The bundle: everything about a trained classifier in one folder, or the same packed as .zip.

`manifest.json` says what is in it: the classes, the preprocessing, the network, every file with
its sha256, and for every variant what was measured. A bundle is data: nothing in it is executed
when it is opened, and every byte is checked against the manifest before it is used.
"""

from __future__ import annotations

from pplcnet.bundle_reading import Bundle, BundleChangedError, read_consistently
from pplcnet.bundle_writing import check_place, update_bundle, write_bundle
from pplcnet.manifest import FORMAT_VERSION, MANIFEST, Manifest, today

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
