"""The check that every network passes before an engine loads it: only exports are accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import BundleError
from pplcnet.runtime.checks.onnx import check_onnx
from pplcnet.system.protobuf import ProtobufError

__all__ = ["Sizes", "check_network"]


class Sizes(NamedTuple):
    """The sizes of a network's input and outputs according to a manifest."""

    image_size: tuple[int, int]
    """(height, width) in pixels."""
    outputs: Mapping[str, tuple[int, ...]]
    """Output name to shape for one image."""

    @classmethod
    def of(cls, manifest: Manifest) -> Sizes:
        """The sizes in this manifest."""
        return cls(manifest.preprocessing.image_size, manifest.outputs)


def check_network(content: bytes, ending: str, sizes: Sizes | None = None) -> None:
    """Refuse a network that this project cannot have exported.

    Args:
        content: the network's file.
        ending: ".onnx" or ".tflite".
        sizes: the required input and outputs; None for any.

    Raises:
        BundleError: the file is damaged, of a different kind than the exporters write, or of
            different sizes.
    """
    image_size, outputs = sizes or (None, None)
    try:
        if ending == ".tflite":
            from pplcnet.runtime.checks.tflite import check_tflite  # few processes need it

            check_tflite(content, image_size, outputs)
        else:
            check_onnx(content, image_size, outputs)
    except (BundleError, ProtobufError) as error:
        raise BundleError(
            f"cannot load this network: {str(error).rstrip('.')}. Engines trust what they load, so "
            "only networks that pplcnet exported are loaded. If you trust the source of this one, "
            "load it with trust_network=True (--trust-network)."
        ) from error
