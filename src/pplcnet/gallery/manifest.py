"""The manifest of a gallery: `gallery.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pplcnet.bundle.manifest_checks import CHECKSUM, checksum_of, is_plain
from pplcnet.errors import GalleryError

__all__ = ["GALLERY_FILE", "GALLERY_LIMIT", "GalleryManifest", "Network", "Part", "Threshold"]

GALLERY_FILE = "gallery.json"
GALLERY_LIMIT = 256 << 20
FORMAT, FORMAT_VERSION = "pplcnet gallery", 1
DTYPES = ("float32", "float16")
MAX_SIZE = 1 << 16
"""Largest length of a vector."""
MAX_ROWS = 1 << 32
PRECISIONS = ("float32", "bfloat16", "int8", "int8-bfloat16")
HEX = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Network:
    """The network that made the vectors; those of another network cannot be compared with them."""

    name: str
    digest: str
    """`runtime.embedding.network_digest` of its bundle."""
    precision: str
    """Computing precision: "float32", "bfloat16", "int8" or "int8-bfloat16"."""
    bundle: str
    """Its path at that time, for the command line."""


@dataclass(frozen=True)
class Part:
    """Some of the photos: a file with their vectors, and a file with their names and classes."""

    vectors: str
    photos: str
    rows: int


@dataclass(frozen=True)
class Threshold:
    """The similarity from which a photo counts as one of the gallery's classes."""

    similarity: float
    wanted: float
    """The false acceptance rate that was asked for."""
    photos: int
    """Number of the gallery's photos that it was chosen on."""
    false_acceptance: float
    """The fraction of them accepted when their class is removed."""
    false_rejection: float | None
    """The fraction of them rejected when only they are removed; None if every class has one
    photo."""


@dataclass(frozen=True)
class GalleryManifest:
    """The content of `gallery.json`."""

    network: Network
    size: int
    """Length of a vector."""
    dtype: str
    """Storage type of the vectors: "float32" or "float16"."""
    classes: Mapping[str, int]
    """Class name to its number of photos."""
    parts: tuple[Part, ...] = ()
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """File name to `sha256` and `bytes`."""
    false_acceptance: float = 0.05
    """The rate for which the threshold is chosen whenever the photos change."""
    threshold: Threshold | None = None
    """None for a gallery of a single class, which has nothing to choose it on."""

    def to_json(self) -> str:
        """The text of `gallery.json`, with the checksum of its content."""
        values = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "network": vars(self.network),
            "size": self.size,
            "dtype": self.dtype,
            "classes": dict(self.classes),
            "parts": [vars(each) for each in self.parts],
            "files": {name: dict(each) for name, each in self.files.items()},
            "false_acceptance": self.false_acceptance,
            "threshold": vars(self.threshold) if self.threshold else None,
        }
        return json.dumps({**values, CHECKSUM: checksum_of(values)}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str) -> GalleryManifest:
        """Parse `gallery.json`; GalleryError says what is wrong with it.

        Args:
            source: the gallery's name in messages.
        """
        try:
            values = json.loads(text)
            if not isinstance(values, dict) or values.get("format") != FORMAT:
                raise GalleryError(f"{source}: {GALLERY_FILE} is not that of a pplcnet gallery.")
            version = values.get("format_version")
            if version != FORMAT_VERSION:
                raise GalleryError(
                    f"{source}: its format version is {str(version)[:40]}, this pplcnet reads "
                    f"{FORMAT_VERSION}; install a newer pplcnet."
                )
            if values.pop(CHECKSUM, None) != checksum_of(values):
                raise GalleryError(
                    f"{source}: {GALLERY_FILE} is not what was saved (its checksum differs). The "
                    "gallery is damaged; use another copy, or build it again."
                )
            return _checked(values)
        except GalleryError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise GalleryError(
                f"{source}: {GALLERY_FILE} is incomplete or wrong ({str(error)[:200]})."
            ) from error


def _checked(values: Mapping[str, Any]) -> GalleryManifest:
    network = Network(**values["network"])
    for each in vars(network).values():
        _expect(isinstance(each, str), "the network's facts are text")
    _expect(network.precision in PRECISIONS, f"the precision is one of {', '.join(PRECISIONS)}")
    _expect(_whole(values["size"], 1, MAX_SIZE), f"size is 1 to {MAX_SIZE}")
    _expect(values["dtype"] in DTYPES, f"dtype is one of {', '.join(DTYPES)}")
    classes = values["classes"]
    _expect(isinstance(classes, dict) and len(classes) > 0, "classes are names with counts")
    for count in classes.values():
        _expect(_whole(count, 1, MAX_ROWS), "a class has at least one photo")
    files = values["files"]
    for name, facts in files.items():
        _expect(is_plain(name), "file names have no folders")
        _expect(HEX.fullmatch(facts["sha256"]) is not None, "sha256 has 64 hexadecimal digits")
        _expect(_whole(facts["bytes"], 0, 1 << 50), "bytes is a whole number")
    parts = tuple(Part(**each) for each in values["parts"])
    for part in parts:
        _expect(_whole(part.rows, 1, MAX_ROWS), "a part has at least one row")
        _expect(part.vectors in files and part.photos in files, "the files of a part are listed")
    _expect(
        sum(part.rows for part in parts) == sum(classes.values()), "rows and photos are as many"
    )
    rate, given = values["false_acceptance"], values["threshold"]
    _expect(_number(rate, 0, 1), "false_acceptance is from 0 to 1")
    threshold = None if given is None else Threshold(**given)
    if threshold is not None:
        _expect(_number(threshold.similarity, -2, 2), "a threshold is from -2 to 2")
        _expect(_whole(threshold.photos, 1, MAX_ROWS), "a threshold is chosen on photos")
        for each in (threshold.wanted, threshold.false_acceptance, threshold.false_rejection or 0):
            _expect(_number(each, 0, 1), "rates are from 0 to 1")
    return GalleryManifest(
        network, values["size"], values["dtype"], classes, parts, files, float(rate), threshold
    )


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"not so: {what}")


def _whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _number(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high
