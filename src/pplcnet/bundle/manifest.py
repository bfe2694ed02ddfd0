"""The manifest of a bundle: `manifest.json`."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pplcnet.bundle.format_1 import to_format_2
from pplcnet.bundle.manifest_checks import CHECKSUM, check_values, checksum_of
from pplcnet.errors import BundleError, printable
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.system.notebook import shortened
from pplcnet.system.wording import counted

__all__ = ["FORMAT_VERSION", "MANIFEST", "MANIFEST_LIMIT", "Manifest", "today"]

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 16 << 20


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: dict[str, Any]
    """`name` in the catalog and the `options` for building it."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """File name to `sha256` and `bytes`."""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variant name ("keras", "onnx") to its `file` and measurements of it.

    `figures` holds evaluation figures by split: `{"test": {"top1": 0.87}}`.
    """
    provenance: dict[str, Any] = field(default_factory=dict)
    """Digest of the data set, splits, recipe, versions, source of the weights."""
    calibration: dict[str, Any] = field(default_factory=dict)
    """What `decoding` was fitted on and how much that helped; empty if nothing was fitted."""
    tuning: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Processor to what `pplcnet tune` measured there and the way of running that it chose."""
    task: str = "classification"
    """The name of its task (`pplcnet.tasks.TASKS`)."""
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The network's outputs by name, each with its shape for one image. By default a single output,
    "logits", with one number per class."""
    decoding: dict[str, Any] = field(default_factory=dict)
    """What the task's decoder needs besides the outputs, such as "temperature" or "thresholds"."""

    def __post_init__(self) -> None:
        if not self.outputs:
            object.__setattr__(self, "outputs", {"logits": (len(self.classes),)})

    def __repr__(self) -> str:
        facts = dict(self.facts())
        named = f"{counted(len(self.classes), 'class')} ({shortened(self.classes)})"
        return (
            f"<Manifest {facts['network']}, {facts['image size']}, {self.task}, {named}, "
            f"variants {facts['variants']}>"
        )

    def facts(self) -> list[tuple[str, str]]:
        """The most important facts, as (name, value)."""
        height, width = self.preprocessing.image_size
        return [
            ("network", printable(str(self.network.get("name", "unknown network")))),
            ("image size", f"{height}x{width}"),
            ("task", self.task),
            ("classes", f"{len(self.classes)} ({shortened(self.classes)})"),
            ("variants", ", ".join(map(printable, self.variants)) or "none"),
        ]

    @property
    def temperature(self) -> float:
        """The divisor of the logits before softmax or sigmoid; 1 if none was fitted."""
        return float(self.decoding.get("temperature", 1.0))

    def preprocessing_on(self, processor: str) -> Preprocessing:
        """How images are prepared on this processor: the resize policy depends on tuning."""
        policy = self.tuning.get(processor, {}).get("policy", self.preprocessing.policy)
        return replace(self.preprocessing, policy=policy)

    def to_json(self) -> str:
        """The manifest as the text of `manifest.json`, with the checksum of its content."""
        values = {
            "format": "pplcnet bundle",
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "classes": list(self.classes),
            "input": {
                "shape": ["N", *self.preprocessing.image_size, 3],
                "dtype": "uint8",
                "meaning": "RGB",
            },
            "outputs": [
                {"name": name, "shape": ["N", *shape], "dtype": "float32"}
                for name, shape in self.outputs.items()
            ],
            "decoding": self.decoding,
            "preprocessing": self.preprocessing.to_dict(),
            "network": self.network,
            "variants": self.variants,
            "provenance": self.provenance,
            **({"calibration": self.calibration} if self.calibration else {}),
            **({"tuning": self.tuning} if self.tuning else {}),
            "files": self.files,
        }
        return json.dumps({**values, CHECKSUM: checksum_of(values)}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str) -> Manifest:
        """Parse and check the text; a BundleError says what is wrong with `source`."""
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
            # Bundles of the first pplcnet have no checksum. A checksum whose key is damaged is
            # an unknown key, which `check_values` rejects.
            if CHECKSUM in values and values.pop(CHECKSUM) != checksum_of(values):
                raise BundleError(
                    f"{source}: {MANIFEST} is not what was saved (its checksum differs): it is "
                    "damaged, or was edited. Use another copy; if you edited it on purpose, "
                    f"delete its entry {CHECKSUM!r}."
                )
            if version == 1:
                values = to_format_2(values)
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
        return cls(
            # In the Unicode form that data sets use; Macs and other systems write different ones.
            classes=tuple(composed[name] for name in values["classes"]),
            task=values["task"],
            outputs={each["name"]: tuple(each["shape"][1:]) for each in values["outputs"]},
            decoding={
                name: {composed.get(key, key): each for key, each in value.items()}
                if isinstance(value, dict)
                else value
                for name, value in values["decoding"].items()
            },
            calibration=values.get("calibration", {}),
            preprocessing=Preprocessing.from_dict(values["preprocessing"]),
            network=values["network"],
            files=values["files"],
            variants=values["variants"],
            provenance=values["provenance"],
            tuning=values.get("tuning", {}),
        )


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:40]!r} appears twice")
        found[name] = value
    return found


def today() -> str:
    """The current time in UTC, for a manifest."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
