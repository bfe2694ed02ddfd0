"""The official weights: their addresses and known figures; no framework is imported here.

Addresses and names are those of PaddleClas (`MODEL_URLS` of its backbones), of PaddleDetection
(configs/picodet/README_en.md at 084e537) and of timm (`default_cfgs` of mobilenetv3.py); accuracies
are what their authors report. No checksums are published: a file's sha256 is recorded when it is
first downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pplcnet.errors import UnknownNameError, WeightsError
from pplcnet.models import catalog

if TYPE_CHECKING:  # numpy is not needed to list addresses
    from pplcnet.imaging.preprocessing import Interpolation

__all__ = ["TAGS", "Source", "find_source", "official_name", "sources_of"]

TAGS = ("imagenet", "imagenet-ssld", "timm", "coco", "coco-416", "coco-640")
"""For detectors, "coco" means an input of 320 pixels."""

PADDLE = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/"
TIMM = "https://huggingface.co/timm/"
PADDLE_DETECTION = "https://paddledet.bj.bcebos.com/models/"


class Source(NamedTuple):
    """One weights file and the figures measured with it."""

    network: str
    tag: str
    """"imagenet", "imagenet-ssld" (distilled), "timm" (their own training), or "coco" and its sizes
    (detectors)."""
    address: str
    top1: float | None
    """ImageNet-1k validation accuracy that the authors report; None if they do not."""
    top5: float | None
    interpolation: Interpolation
    """The filter for resizing to a short side of 256, with a centre crop of 224 and ImageNet's mean
    and standard deviation; a detector's input is the whole image, stretched."""
    licence: str = "Apache-2.0"
    sha256: str | None = None
    side: int = 224
    """Side in pixels of the input that they were measured with."""

    @property
    def file_name(self) -> str:
        """The file's name in the cache, different for every source."""
        return f"{self.network}-{self.tag}{self.address[self.address.rindex('.') :]}"


COCO_SIDE = 320
"""Input size in pixels of the weights called just "coco"."""
# The families whose files are in a separate folder.
_LEGENDARY = {"pplcnet", "pplcnetv2", "mobilenetv1", "mobilenetv3"}
# Distilled weights: network to (top-1, top-5) if reported.
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
    """Sources of a network by tag; for a single-task network, its backbone's sources too."""
    row = catalog.backbone_of(network)
    if network != row.name:
        own = _of_detector(network) if network in catalog.DETECTORS else {}
        return own | sources_of(row.name)
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


def _of_detector(network: str) -> dict[str, Source]:
    """The published weights of a detector, one for each input size."""
    found = {}
    for side in catalog.find_detector(network).reported_ap:
        tag = "coco" if side == COCO_SIDE else f"coco-{side}"
        address = f"{PADDLE_DETECTION}{network}_{side}_coco_lcnet.pdparams"
        found[tag] = Source(network, tag, address, None, None, "opencv-bicubic", side=side)
    return found


def official_name(text: str) -> tuple[str, str] | None:
    """(network, tag) of a name of official weights; None for other text, such as a path.

    A name is NAME, NAME:TAG, or a detector with its size: picodet_xs_320.
    """
    name, _, tag = text.partition(":")
    if name in catalog.CATALOG:
        return name, tag or "imagenet"
    if name in catalog.DETECTORS:
        return name, tag or "coco"
    detector, _, side = name.rpartition("_")
    if detector in catalog.DETECTORS and side.isdecimal() and not tag:
        return detector, "coco" if side == str(COCO_SIDE) else f"coco-{side}"
    return None


def find_source(network: str, tag: str) -> Source:
    """The source of a network's weights; errors list the networks or tags that exist."""
    if tag not in TAGS and not tag.startswith("coco-"):
        raise UnknownNameError("kind of weights", tag, TAGS)
    found = sources_of(network)
    if tag not in found:
        raise WeightsError(f"{network} has no {tag!r} weights; there are {', '.join(found)}.")
    return found[tag]
