"""What a bundle says of itself: `manifest.json`."""

from __future__ import annotations

import json
import math
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from pplcnet.bundle.manifest_checks import check_values
from pplcnet.errors import BundleError, printable
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.system.notebook import shortened
from pplcnet.system.wording import counted

__all__ = ["FORMAT_VERSION", "MANIFEST", "MANIFEST_LIMIT", "Manifest", "today"]

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 16 << 20
CHECKSUM = "checksum"
TASKS_OF_FORMAT_1 = {"single": "classification", "multi": "multilabel"}


@dataclass(frozen=True)
class Manifest:
    """What a bundle says about itself."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: dict[str, Any]
    """`name` in the catalog and the `options` to build it with."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """File name to `sha256` and `bytes`."""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variant name ("keras", "onnx") to its `file` and what was measured of it."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Data set digest, split, recipe, versions, source of the weights."""
    calibration: dict[str, Any] = field(default_factory=dict)
    """"temperature" that logits are divided by, and what it was fitted on."""
    tuning: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Processor to what `pplcnet tune` measured there and which way of running it chose."""
    task: str = "classification"
    """The name of its task (`pplcnet.tasks.TASKS`)."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Of the task "multi": from which probability on a class is on the photo; 0.5 if absent."""

    def __repr__(self) -> str:
        (_, network), (_, size), _, (_, variants) = self.facts()
        named = counted(len(self.classes), "class")
        names = shortened(self.classes)
        return f"<Manifest {network}, {size}, {named} ({names}), variants {variants}>"

    def facts(self) -> list[tuple[str, str]]:
        """What matters most, as (name, value)."""
        height, width = self.preprocessing.image_size
        return [
            ("network", printable(str(self.network.get("name", "unknown network")))),
            ("image size", f"{height}x{width}"),
            ("classes", f"{len(self.classes)} ({shortened(self.classes)})"),
            ("variants", ", ".join(map(printable, self.variants)) or "none"),
        ]

    @property
    def temperature(self) -> float:
        """What logits are divided by before softmax or sigmoid; 1 where nothing was fitted."""
        return float(self.calibration.get("temperature", 1.0))

    def preprocessing_on(self, processor: str) -> Preprocessing:
        """How pictures are prepared on this processor: the resize policy is part of tuning."""
        policy = self.tuning.get(processor, {}).get("policy", self.preprocessing.policy)
        return replace(self.preprocessing, policy=policy)

    def to_json(self) -> str:
        """The manifest as the text of `manifest.json`, with the checksum of its content."""
        values = {
            "format": "pplcnet bundle",
            "format_version": FORMAT_VERSION,
            "classes": list(self.classes),
            "task": next(old for old, name in TASKS_OF_FORMAT_1.items() if name == self.task),
            **({"thresholds": self.thresholds} if self.thresholds else {}),
            "input": {
                "shape": ["N", *self.preprocessing.image_size, 3],
                "dtype": "uint8",
                "meaning": "RGB",
            },
            "output": {"shape": ["N", len(self.classes)], "meaning": "logits"},
            "preprocessing": self.preprocessing.to_dict(),
            "network": self.network,
            "variants": self.variants,
            "provenance": self.provenance,
            **({"calibration": self.calibration} if self.calibration else {}),
            **({"tuning": self.tuning} if self.tuning else {}),
            "files": self.files,
        }
        return json.dumps({**values, CHECKSUM: _checksum(values)}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str) -> Manifest:
        """Parse and check; BundleError says what is wrong with `source`."""
        try:
            values = json.loads(text, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{source}: {MANIFEST} is not readable JSON ({error}).") from error
        if not isinstance(values, dict) or values.get("format") != "pplcnet bundle":
            raise BundleError(f"{source}: {MANIFEST} is not that of a pplcnet bundle.")
        version = values.get("format_version")
        if type(version) is not int or version < 1:
            raise BundleError(f"{source}: its format version is {str(version)[:40]!r}.")
        if version > FORMAT_VERSION:
            raise BundleError(
                f"{source}: its format version is {str(version)[:40]}, this pplcnet reads up to "
                f"{FORMAT_VERSION}; install a newer pplcnet."
            )
        try:
            # Bundles of the first pplcnet have no checksum. A checksum whose name is damaged is
            # an unknown key, which `check_values` refuses.
            if CHECKSUM in values and values.pop(CHECKSUM) != _checksum(values):
                raise BundleError(
                    f"{source}: {MANIFEST} is not what was saved (its checksum differs): it is "
                    "damaged, or was edited. Use another copy; if you edited it on purpose, "
                    f"delete its entry {CHECKSUM!r}."
                )
            check_values(values)
            return cls._from_values(values)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(f"{source}: {MANIFEST} is incomplete or wrong ({error}).") from error

    @classmethod
    def _from_values(cls, values: Mapping[str, Any]) -> Manifest:
        composed = {name: unicodedata.normalize("NFC", name) for name in values["classes"]}
        if len(set(composed.values())) < len(composed):  # an older bundle may have both forms
            composed = {name: name for name in composed}
        thresholds = values.get("thresholds", {})
        return cls(
            # As data sets have them, which Macs and others write in different forms.
            classes=tuple(composed[name] for name in values["classes"]),
            task=TASKS_OF_FORMAT_1[values.get("task", "single")],
            thresholds={composed.get(name, name): cut for name, cut in thresholds.items()},
            calibration=values.get("calibration", {}),
            preprocessing=Preprocessing.from_dict(values["preprocessing"]),
            network=values["network"],
            files=values["files"],
            variants={name: _renamed(each) for name, each in values["variants"].items()},
            provenance=values["provenance"],
            tuning=values.get("tuning", {}),
        )


def _renamed(variant: Mapping[str, Any]) -> dict[str, Any]:
    """A variant whose parity is by output; in format 1 it was of the logits."""
    parity = variant.get("parity")
    if not isinstance(parity, dict):
        return dict(variant)
    agreement = parity.get("top1_agreement", parity.get("labels_agreement"))
    if agreement is None:
        return dict(variant)
    logits = {
        "largest_difference": parity["largest_logit_difference"],
        "largest": parity.get("largest_logit", math.nan),
    }
    renamed = {
        "images": parity["images"], "outputs": {"logits": logits}, "agreement": agreement
    }  # fmt: skip
    return {**variant, "parity": renamed}


def _checksum(values: Mapping[str, Any]) -> str:
    """Of the content, however it is laid out as text."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:40]!r} appears twice")
        found[name] = value
    return found


def today() -> str:
    """The moment of writing, UTC, for a manifest."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
