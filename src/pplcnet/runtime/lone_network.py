"""An exported `.onnx` file without its bundle; its metadata holds labels and preprocessing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import FORMAT_VERSION, Manifest
from pplcnet.bundle.manifest_checks import FILE_LIMIT
from pplcnet.bundle.members import read_member
from pplcnet.errors import BundleError, UnknownNameError
from pplcnet.system.protobuf import BYTES, ProtobufError, fields
from pplcnet.tasks import find
from pplcnet.tasks.task import EMBEDDING

__all__ = ["LoneNetwork", "open_network"]

# The field number of ModelProto.metadata_props, and those of an entry's key and value.
METADATA, KEY, VALUE = 14, 1, 2
NETWORK = "network"
"""The key of the network's catalog name; files before 0.3 do not have it."""
# Class names have up to 100 characters; nobody has a million classes.
METADATA_LIMIT = 64 << 20


class LoneNetwork(Bundle):
    """A network's file, run like the bundle it came from."""

    def __init__(self, path: Path, manifest: Manifest, content: bytes) -> None:
        super().__init__(path, manifest)
        self._content = content

    @property
    def precision(self) -> str | None:
        """ "int8" for a quantised network; None for the default of `choose`."""
        return "int8" if self.variant("onnx")["precision"] == "int8" else None

    @property
    def caveat(self) -> str:
        """What answers lack without the bundle, which holds the calibration."""
        return (
            f"{self.path}: without its bundle, probabilities are not calibrated, a multi-label "
            "network's thresholds are all 0.5, and boxes are shown at a confidence of 0.4 or more."
        )

    def read(self, name: str) -> bytes:
        """The network's file, the only one there is."""
        return self._content


def open_network(path: Path) -> LoneNetwork:
    """Read an `.onnx` file that `pplcnet export` or `quantize` made; nothing in it is run.

    Raises:
        BundleError: it cannot be read, or its metadata is missing or wrong.
    """
    if not os.path.exists(path):
        raise BundleError(f"{path}: no such file.")
    content = read_member(path.parent, path.name, FILE_LIMIT)
    try:
        metadata = _metadata(content)
        preprocessing = json.loads(metadata["preprocessing"])
        classes = json.loads(metadata["classes"])
        height, width = preprocessing["image_size"]
        task = find(_task_name(metadata))
        outputs = dict(task.outputs(classes, (height, width), metadata.get(NETWORK, "")))
        if EMBEDDING in metadata:
            outputs[EMBEDDING] = (int(metadata[EMBEDDING]),)
    except UnknownNameError as error:
        raise BundleError(f"{path}: {error}") from None
    except KeyError as error:
        raise BundleError(
            f"{path}: has no {error} in its metadata, so it was not exported by "
            "pplcnet; give a bundle, or the model.onnx of one."
        ) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: cannot be read as an ONNX file ({error}).") from error
    precision = "int8" if b"DequantizeLinear" in content else "float32"
    values = {
        "format": "pplcnet bundle",
        "format_version": FORMAT_VERSION,
        "classes": classes,
        "task": task.name,
        "input": {"shape": ["N", height, width, 3], "dtype": "uint8", "meaning": "RGB"},
        "outputs": [
            {"name": name, "shape": ["N", *shape], "dtype": "float32"}
            for name, shape in outputs.items()
        ],
        "decoding": {},
        "preprocessing": preprocessing,
        "network": {"name": path.stem, "network": metadata.get(NETWORK, "")},
        "variants": {"onnx": {"file": "model.onnx", "precision": precision}},
        "provenance": {},
        "files": {"model.onnx": {"sha256": sha256(content).hexdigest(), "bytes": len(content)}},
    }
    return LoneNetwork(path, Manifest.from_json(json.dumps(values), str(path)), content)


def _task_name(metadata: Mapping[str, str]) -> str:
    """The task in the metadata; before 0.2 they only named what turns logits into probabilities."""
    is_multilabel = metadata.get("output", "").endswith("sigmoid")
    return metadata.get("task", "multilabel" if is_multilabel else "classification")


def _metadata(content: bytes) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for number, kind, value in fields(memoryview(content)):
        if number != METADATA or kind != BYTES or isinstance(value, int):
            continue
        if len(value) > METADATA_LIMIT:
            raise ProtobufError(f"metadata of {len(value):,} bytes")
        entry = {
            at: bytes(part).decode("utf-8")
            for at, _, part in fields(value)
            if at in (KEY, VALUE) and not isinstance(part, int)
        }
        found[entry.get(KEY, "")] = entry.get(VALUE, "")
    return found
