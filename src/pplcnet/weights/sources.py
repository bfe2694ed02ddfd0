"""Where the official weights are, and what is known about them; no framework is imported here.

Addresses and names are those of PaddleClas (`MODEL_URLS` of its backbones) and of timm
(`default_cfgs` of mobilenetv3.py); accuracies are what their authors report. No checksums are
published: a file's sha256 is recorded when it is first downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pplcnet.errors import UnknownNameError, WeightsError
from pplcnet.models import catalog

if TYPE_CHECKING:  # numpy is not needed to list addresses
    from pplcnet.imaging.preprocessing import Interpolation

__all__ = ["TAGS", "Source", "find_source", "sources_of"]

TAGS = ("imagenet", "imagenet-ssld", "timm")

PADDLE = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/"
TIMM = "https://huggingface.co/timm/"


class Source(NamedTuple):
    """One file of weights and what was measured with it."""

    network: str
    tag: str
    """"imagenet", "imagenet-ssld" (distilled) or "timm" (their own training)."""
    address: str
    top1: float | None
    """ImageNet-1k validation accuracy that the authors report; None if they do not."""
    top5: float | None
    interpolation: Interpolation
    """Short side 256 by this filter, centre 224, ImageNet's mean and standard deviation."""
    licence: str = "Apache-2.0"
    sha256: str | None = None

    @property
    def file_name(self) -> str:
        """The file's name in the cache, different for every source."""
        return f"{self.network}-{self.tag}{self.address[self.address.rindex('.') :]}"


# The families whose files lie in a folder of their own.
_LEGENDARY = {"pplcnet", "pplcnetv2", "mobilenetv1", "mobilenetv3"}
# Distilled weights: network to (top-1, top-5) where reported.
_DISTILLED: dict[str, tuple[float | None, float | None]] = {
    "pplcnet_x0_25": (None, None),
    "pplcnet_x0_5": (0.661, None),
    "pplcnet_x1_0": (0.744, None),
    "pplcnet_x2_5": (0.808, None),
    "pplcnetv2_base": (0.8007, 0.9487),
}
_TIMM = {
    "pplcnet_x0_5": "lcnet_050.ra2_in1k",
    "pplcnet_x0_75": "lcnet_075.ra2_in1k",
    "pplcnet_x1_0": "lcnet_100.ra2_in1k",
}


def sources_of(network: str) -> dict[str, Source]:
    """Tag to source, of a network of the catalog."""
    row = catalog.find(network)
    folder = f"{PADDLE}legendary_models/" if row.family in _LEGENDARY else PADDLE
    found = {
        "imagenet": Source(
            network,
            "imagenet",
            f"{folder}{row.reference_name}_pretrained.pdparams",
            row.reported_top1,
            row.reported_top5,
            "opencv-bilinear",
        )
    }
    if network in _DISTILLED:
        found["imagenet-ssld"] = Source(
            network,
            "imagenet-ssld",
            f"{folder}{row.reference_name}_ssld_pretrained.pdparams",
            *_DISTILLED[network],
            "opencv-bilinear",
        )
    if network in _TIMM:
        address = f"{TIMM}{_TIMM[network]}/resolve/main/model.safetensors"
        found["timm"] = Source(network, "timm", address, None, None, "pillow-bicubic")
    return found


def find_source(network: str, tag: str) -> Source:
    """The source of a network's weights; errors list the networks or tags that there are."""
    if tag not in TAGS:
        raise UnknownNameError("kind of weights", tag, TAGS)
    found = sources_of(network)
    if tag not in found:
        raise WeightsError(f"{network} has no {tag!r} weights; there are {', '.join(found)}.")
    return found[tag]
