"""The table of networks that pplcnet knows; no framework is imported here.

Parameters and multiply-accumulates are facts of the network definition at 1000 classes and
224x224; `tests/conformance` builds every row and compares. Reported accuracies are ImageNet-1k
validation figures published by PaddleClas for its own weights: PP-LCNet in its
docs/en/models/PP-LCNet_en.md, PP-LCNetV2 in docs/zh_CN/models/ImageNet1k/PP-LCNetV2.md, all others
in docs/en/models/Mobile_en.md. Detectors' are COCO val2017 figures of configs/picodet/README_en.md in
PaddleDetection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pplcnet.errors import InputError, UnknownNameError

__all__ = [
    "CATALOG",
    "DETECTORS",
    "DETECTOR_STRIDES",
    "FAMILIES",
    "SEGMENTERS",
    "Detector",
    "Network",
    "Segmenter",
    "backbone_of",
    "find",
    "find_detector",
    "find_segmenter",
    "is_same",
    "only_task",
]


class Network(NamedTuple):
    """One row: how to build a network, and what is known about it."""

    name: str
    family: str
    variant: str
    """Which table of the family's file ("small", "large"); "" if there is only one."""
    scale: float
    parameters: int
    """Trainable parameters with 1000 classes; for PP-LCNetV2, in its deployed form."""
    macs_224: int
    """Multiply-accumulates of convolutions and fully connected layers, one 224x224 image."""
    reported_top1: float | None
    """ImageNet-1k validation accuracy of the official weights, a fraction; None if unpublished."""
    reported_top5: float | None
    reference_name: str
    """The network's name in the original repository."""

    @property
    def measured_at(self) -> tuple[tuple[int, int], int]:
        """(height, width) of the input and number of classes that the row's figures are for."""
        return (224, 224), 1000


class Detector(NamedTuple):
    """The row of a detector: PicoDet, whose backbone is a PP-LCNet without its classifier."""

    name: str
    backbone: str
    """The classifier in the catalog that has the same backbone."""
    channels: int
    """Channels of the neck and the head."""
    blocks: int
    """Depthwise-separable blocks in the head of each level."""
    parameters: int
    """Trainable parameters with COCO's 80 classes."""
    macs_320: int
    """Multiply-accumulates of convolutions, one 320x320 image, 80 classes."""
    reported_ap: Mapping[int, float] = {}
    """COCO val2017 AP (0.50:0.95) of the official weights, a fraction, by input side in pixels."""

    @property
    def measured_at(self) -> tuple[tuple[int, int], int]:
        """(height, width) of the input and number of classes that the row's figures are for."""
        return (320, 320), 80


class Segmenter(NamedTuple):
    """The row of a segmentation network: a head on the feature maps of a classifier's backbone."""

    name: str
    head: str
    """"mobileseg", "mobileseg_fused", "mobileseg_portrait", "deeplabv3p" or "lraspp"."""
    backbone: str
    """The classifier in the catalog that has the same backbone."""
    parameters: int
    """Trainable parameters with 19 classes, without the heads used only in training."""
    macs_512x1024: int
    """Multiply-accumulates of convolutions, one image of 512x1024 (H x W), 19 classes."""

    @property
    def measured_at(self) -> tuple[tuple[int, int], int]:
        """(height, width) of the input and number of classes that the row's figures are for."""
        return (512, 1024), 19

    @property
    def stride(self) -> int:
        """Input pixels between two neighbouring positions of the logits."""
        return 8 if self.head == "mobileseg" else 4


# fmt: off
_ROWS = (
    Network("pplcnet_x0_25", "pplcnet", "", 0.25, 1_521_184, 16_773_440, 0.5186, 0.7565, "PPLCNet_x0_25"),
    Network("pplcnet_x0_35", "pplcnet", "", 0.35, 1_643_090, 27_357_832, 0.5809, 0.8083, "PPLCNet_x0_35"),
    Network("pplcnet_x0_5", "pplcnet", "", 0.5, 1_879_576, 44_731_008, 0.6314, 0.8466, "PPLCNet_x0_5"),
    Network("pplcnet_x0_75", "pplcnet", "", 0.75, 2_357_008, 94_786_496, 0.6818, 0.8830, "PPLCNet_x0_75"),
    Network("pplcnet_x1_0", "pplcnet", "", 1.0, 2_952_520, 155_700_480, 0.7132, 0.9003, "PPLCNet_x1_0"),
    Network("pplcnet_x1_5", "pplcnet", "", 1.5, 4_499_832, 334_188_416, 0.7371, 0.9153, "PPLCNet_x1_5"),
    Network("pplcnet_x2_0", "pplcnet", "", 2.0, 6_521_512, 580_194_816, 0.7518, 0.9227, "PPLCNet_x2_0"),
    Network("pplcnet_x2_5", "pplcnet", "", 2.5, 9_017_560, 893_719_680, 0.7660, 0.9300, "PPLCNet_x2_5"),
    Network("pplcnetv2_small", "pplcnetv2", "small", 0.75, 4_092_840, 280_320_896, None, None, "PPLCNetV2_small"),
    Network("pplcnetv2_base", "pplcnetv2", "base", 1.0, 6_624_232, 593_875_456, 0.7704, 0.9327, "PPLCNetV2_base"),
    Network("pplcnetv2_large", "pplcnetv2", "large", 1.25, 10_444_200, 1_082_089_600, None, None, "PPLCNetV2_large"),
    Network("mobilenetv1_x0_25", "mobilenetv1", "", 0.25, 470_072, 41_030_272, 0.514, 0.755, "MobileNetV1_x0_25"),
    Network("mobilenetv1_x0_5", "mobilenetv1", "", 0.5, 1_331_592, 149_497_088, 0.635, 0.847, "MobileNetV1_x0_5"),
    Network("mobilenetv1_x0_75", "mobilenetv1", "", 0.75, 2_585_560, 325_400_448, 0.688, 0.882, "MobileNetV1_x0_75"),
    Network("mobilenetv1_x1_0", "mobilenetv1", "", 1.0, 4_231_976, 568_740_352, 0.710, 0.897, "MobileNetV1"),
    Network("mobilenetv2_x0_25", "mobilenetv2", "", 0.25, 1_517_392, 30_480_864, 0.532, 0.765, "MobileNetV2_x0_25"),
    Network("mobilenetv2_x0_5", "mobilenetv2", "", 0.5, 1_965_736, 92_271_040, 0.650, 0.857, "MobileNetV2_x0_5"),
    Network("mobilenetv2_x0_75", "mobilenetv2", "", 0.75, 2_628_592, 186_650_528, 0.698, 0.890, "MobileNetV2_x0_75"),
    Network("mobilenetv2_x1_0", "mobilenetv2", "", 1.0, 3_505_960, 313_619_328, 0.722, 0.907, "MobileNetV2"),
    Network("mobilenetv2_x1_5", "mobilenetv2", "", 1.5, 6_852_712, 681_017_664, 0.741, 0.917, "MobileNetV2_x1_5"),
    Network("mobilenetv2_x2_0", "mobilenetv2", "", 2.0, 11_262_312, 1_188_808_448, 0.752, 0.926, "MobileNetV2_x2_0"),
    Network("mobilenetv3_small_x0_35", "mobilenetv3", "small", 0.35, 1_665_954, 13_161_528, 0.530, 0.764, "MobileNetV3_small_x0_35"),
    Network("mobilenetv3_small_x0_5", "mobilenetv3", "small", 0.5, 1_902_536, 20_759_280, 0.592, 0.815, "MobileNetV3_small_x0_5"),
    Network("mobilenetv3_small_x0_75", "mobilenetv3", "small", 0.75, 2_375_106, 43_048_536, 0.660, 0.863, "MobileNetV3_small_x0_75"),
    Network("mobilenetv3_small_x1_0", "mobilenetv3", "small", 1.0, 2_939_958, 60_119_520, 0.682, 0.881, "MobileNetV3_small_x1_0"),
    Network("mobilenetv3_small_x1_25", "mobilenetv3", "small", 1.25, 3_627_370, 95_364_424, 0.707, 0.895, "MobileNetV3_small_x1_25"),
    Network("mobilenetv3_large_x0_35", "mobilenetv3", "large", 0.35, 2_104_328, 37_188_872, 0.643, 0.855, "MobileNetV3_large_x0_35"),
    Network("mobilenetv3_large_x0_5", "mobilenetv3", "large", 0.5, 2_673_422, 66_704_432, 0.692, 0.885, "MobileNetV3_large_x0_5"),
    Network("mobilenetv3_large_x0_75", "mobilenetv3", "large", 0.75, 3_912_248, 143_780_440, 0.731, 0.911, "MobileNetV3_large_x0_75"),
    Network("mobilenetv3_large_x1_0", "mobilenetv3", "large", 1.0, 5_480_206, 219_799_200, 0.753, 0.923, "MobileNetV3_large_x1_0"),
    Network("mobilenetv3_large_x1_25", "mobilenetv3", "large", 1.25, 7_443_308, 349_965_896, 0.764, 0.930, "MobileNetV3_large_x1_25"),
    Network("shufflenetv2_x0_25", "shufflenetv2", "", 0.25, 603_688, 17_575_760, 0.499, 0.738, "ShuffleNetV2_x0_25"),
    Network("shufflenetv2_x0_33", "shufflenetv2", "", 0.33, 647_272, 22_454_592, 0.537, 0.771, "ShuffleNetV2_x0_33"),
    Network("shufflenetv2_x0_5", "shufflenetv2", "", 0.5, 1_366_792, 40_476_448, 0.603, 0.823, "ShuffleNetV2_x0_5"),
    Network("shufflenetv2_x1_0", "shufflenetv2", "", 1.0, 2_278_604, 144_907_992, 0.688, 0.885, "ShuffleNetV2_x1_0"),
    Network("shufflenetv2_x1_5", "shufflenetv2", "", 1.5, 3_503_624, 295_759_392, 0.716, 0.902, "ShuffleNetV2_x1_5"),
    Network("shufflenetv2_x2_0", "shufflenetv2", "", 2.0, 7_366_536, 564_370_824, 0.732, 0.912, "ShuffleNetV2_x2_0"),
    Network("ghostnet_x0_5", "ghostnet", "", 0.5, 2_588_232, 42_327_816, 0.668, 0.869, "GhostNet_x0_5"),
    Network("ghostnet_x1_0", "ghostnet", "", 1.0, 5_183_016, 141_149_744, 0.740, 0.916, "GhostNet_x1_0"),
    Network("ghostnet_x1_3", "ghostnet", "", 1.3, 7_352_622, 226_995_784, 0.757, 0.925, "GhostNet_x1_3"),
)
# fmt: on

# The four published ones, and the same heads on every scale of PP-LCNet, each as wide as that of the
# published network with the nearest scale.
# fmt: off
_DETECTOR_ROWS = (
    Detector("picodet_xs", "pplcnet_x0_35", 96, 2, 704_254, 330_749_549, {320: 0.235, 416: 0.262}),
    Detector("picodet_s", "pplcnet_x0_75", 96, 2, 1_186_492, 481_103_149, {320: 0.291, 416: 0.325}),
    Detector("picodet_m", "pplcnet_x1_5", 128, 4, 3_465_316, 1_272_970_701, {320: 0.344, 416: 0.375}),
    Detector("picodet_l", "pplcnet_x2_0", 160, 4, 5_804_500, 2_085_754_285, {320: 0.361, 416: 0.394, 640: 0.426}),
    Detector("picodet_x0_25", "pplcnet_x0_25", 96, 2, 635_340, 305_443_629),
    Detector("picodet_x0_35", "pplcnet_x0_35", 96, 2, 704_254, 330_749_549),
    Detector("picodet_x0_5", "pplcnet_x0_5", 96, 2, 851_396, 370_735_149),
    Detector("picodet_x0_75", "pplcnet_x0_75", 96, 2, 1_186_492, 481_103_149),
    Detector("picodet_x1_0", "pplcnet_x1_0", 128, 4, 2_188_340, 886_653_901),
    Detector("picodet_x1_5", "pplcnet_x1_5", 128, 4, 3_465_316, 1_272_970_701),
    Detector("picodet_x2_0", "pplcnet_x2_0", 160, 4, 5_804_500, 2_085_754_285),
    Detector("picodet_x2_5", "pplcnet_x2_5", 160, 4, 8_044_548, 2_753_220_525),
)
# fmt: on

# fmt: off
_SEGMENTER_ROWS = (
    Segmenter("mobileseg_pplcnet_x0_25", "mobileseg", "pplcnet_x0_25", 207_768, 280_815_616),
    Segmenter("mobileseg_pplcnet_x0_35", "mobileseg", "pplcnet_x0_35", 297_874, 410_481_568),
    Segmenter("mobileseg_pplcnet_x0_5", "mobileseg", "pplcnet_x0_5", 480_560, 617_357_312),
    Segmenter("mobileseg_pplcnet_x0_75", "mobileseg", "pplcnet_x0_75", 872_392, 1_184_606_208),
    Segmenter("mobileseg_pplcnet_x1_0", "mobileseg", "pplcnet_x1_0", 1_382_304, 1_865_121_792),
    Segmenter("mobileseg_pplcnet_x1_5", "mobileseg", "pplcnet_x1_5", 2_758_416, 3_817_611_264),
    Segmenter("mobileseg_pplcnet_x2_0", "mobileseg", "pplcnet_x2_0", 4_608_896, 6_474_825_728),
    Segmenter("mobileseg_pplcnet_x2_5", "mobileseg", "pplcnet_x2_5", 6_933_744, 9_836_765_184),
    Segmenter("mobileseg_mobilenetv3_large_x0_35", "mobileseg", "mobilenetv3_large_x0_35", 462_992, 458_544_576),
    Segmenter("mobileseg_mobilenetv3_large_x0_5", "mobileseg", "mobilenetv3_large_x0_5", 843_270, 764_184_736),
    Segmenter("mobileseg_mobilenetv3_large_x0_75", "mobileseg", "mobilenetv3_large_x0_75", 1_752_384, 1_554_003_648),
    Segmenter("mobileseg_mobilenetv3_large_x1_0", "mobileseg", "mobilenetv3_large_x1_0", 2_970_318, 2_318_911_584),
    Segmenter("mobileseg_mobilenetv3_large_x1_25", "mobileseg", "mobilenetv3_large_x1_25", 4_565_308, 3_640_244_672),
    Segmenter("mobileseg_fused_pplcnet_x0_25", "mobileseg_fused", "pplcnet_x0_25", 239_272, 682_420_224),
    Segmenter("mobileseg_fused_pplcnet_x0_35", "mobileseg_fused", "pplcnet_x0_35", 330_490, 835_416_992),
    Segmenter("mobileseg_fused_pplcnet_x0_5", "mobileseg_fused", "pplcnet_x0_5", 514_288, 1_065_623_552),
    Segmenter("mobileseg_fused_pplcnet_x0_75", "mobileseg_fused", "pplcnet_x0_75", 908_344, 1_679_534_080),
    Segmenter("mobileseg_fused_pplcnet_x1_0", "mobileseg_fused", "pplcnet_x1_0", 1_420_480, 2_406_711_296),
    Segmenter("mobileseg_fused_pplcnet_x1_5", "mobileseg_fused", "pplcnet_x1_5", 2_801_040, 4_452_524_032),
    Segmenter("mobileseg_fused_pplcnet_x2_0", "mobileseg_fused", "pplcnet_x2_0", 4_655_968, 7_203_061_760),
    Segmenter("mobileseg_fused_pplcnet_x2_5", "mobileseg_fused", "pplcnet_x2_5", 6_985_264, 10_658_324_480),
    Segmenter("deeplabv3p_pplcnet_x0_25", "deeplabv3p", "pplcnet_x0_25", 734_235, 5_444_085_760),
    Segmenter("deeplabv3p_pplcnet_x0_35", "deeplabv3p", "pplcnet_x0_35", 858_253, 5_592_378_272),
    Segmenter("deeplabv3p_pplcnet_x0_5", "deeplabv3p", "pplcnet_x0_5", 1_098_003, 5_828_288_512),
    Segmenter("deeplabv3p_pplcnet_x0_75", "deeplabv3p", "pplcnet_x0_75", 1_580_811, 6_443_198_464),
    Segmenter("deeplabv3p_pplcnet_x1_0", "deeplabv3p", "pplcnet_x1_0", 2_181_699, 7_171_375_104),
    Segmenter("deeplabv3p_pplcnet_x1_5", "deeplabv3p", "pplcnet_x1_5", 3_739_763, 9_219_186_688),
    Segmenter("deeplabv3p_pplcnet_x2_0", "deeplabv3p", "pplcnet_x2_0", 5_772_195, 11_971_723_264),
    Segmenter("deeplabv3p_pplcnet_x2_5", "deeplabv3p", "pplcnet_x2_5", 8_278_995, 15_428_984_832),
    Segmenter("deeplabv3p_mobilenetv3_large_x0_35", "deeplabv3p", "mobilenetv3_large_x0_35", 936_515, 5_592_015_296),
    Segmenter("deeplabv3p_mobilenetv3_large_x0_5", "deeplabv3p", "mobilenetv3_large_x0_5", 1_333_385, 5_912_137_888),
    Segmenter("deeplabv3p_mobilenetv3_large_x0_75", "deeplabv3p", "mobilenetv3_large_x0_75", 2_269_555, 6_719_398_592),
    Segmenter("deeplabv3p_mobilenetv3_large_x1_0", "deeplabv3p", "mobilenetv3_large_x1_0", 3_515_273, 7_491_410_016),
    Segmenter("deeplabv3p_mobilenetv3_large_x1_25", "deeplabv3p", "mobilenetv3_large_x1_25", 5_137_319, 8_830_184_896),
    Segmenter("lraspp_pplcnet_x0_25", "lraspp", "pplcnet_x0_25", 176_696, 1_162_536_960),
    Segmenter("lraspp_pplcnet_x0_35", "lraspp", "pplcnet_x0_35", 250_730, 1_292_333_984),
    Segmenter("lraspp_pplcnet_x0_5", "lraspp", "pplcnet_x0_5", 406_576, 1_494_622_208),
    Segmenter("lraspp_pplcnet_x0_75", "lraspp", "pplcnet_x0_75", 755_496, 2_057_414_656),
    Segmenter("lraspp_pplcnet_x1_0", "lraspp", "pplcnet_x1_0", 1_222_496, 2_733_473_792),
    Segmenter("lraspp_pplcnet_x1_5", "lraspp", "pplcnet_x1_5", 2_512_784, 4_677_050_368),
    Segmenter("lraspp_pplcnet_x2_0", "lraspp", "pplcnet_x2_0", 4_277_440, 7_325_351_936),
    Segmenter("lraspp_pplcnet_x2_5", "lraspp", "pplcnet_x2_5", 6_516_464, 10_678_378_496),
    Segmenter("lraspp_mobilenetv3_large_x0_35", "lraspp", "mobilenetv3_large_x0_35", 454_400, 1_340_306_880),
    Segmenter("lraspp_mobilenetv3_large_x0_5", "lraspp", "mobilenetv3_large_x0_5", 826_214, 1_649_084_576),
    Segmenter("lraspp_mobilenetv3_large_x0_75", "lraspp", "mobilenetv3_large_x0_75", 1_720_368, 2_437_437_120),
    Segmenter("lraspp_mobilenetv3_large_x1_0", "lraspp", "mobilenetv3_large_x1_0", 2_924_198, 3_194_734_688),
    Segmenter("lraspp_mobilenetv3_large_x1_25", "lraspp", "mobilenetv3_large_x1_25", 4_504_228, 4_514_601_408),
    Segmenter("mobileseg_portrait_mobilenetv3_large_x1_0", "mobileseg_portrait", "mobilenetv3_large_x1_0", 921_870, 2_185_285_216),
)
# fmt: on

CATALOG: dict[str, Network] = {row.name: row for row in _ROWS}
DETECTORS: dict[str, Detector] = {row.name: row for row in _DETECTOR_ROWS}
SEGMENTERS: dict[str, Segmenter] = {row.name: row for row in _SEGMENTER_ROWS}
DETECTOR_STRIDES = (8, 16, 32, 64)
"""Input pixels between two neighbouring cells of each level of a detector, the finest first."""
FAMILIES = tuple(dict.fromkeys(row.family for row in _ROWS))


def find(name: str) -> Network:
    """The classifier called `name`.

    Raises:
        UnknownNameError: there is no such network; the nearest names are suggested.
        InputError: it is a network for another task.
    """
    if name in CATALOG:
        return CATALOG[name]
    task = only_task(name)
    if task is not None:
        raise InputError(
            f"{name} is a network for {task}, but a classifier is needed here, such as the one "
            f"with its backbone: {backbone_of(name).name}."
        )
    raise UnknownNameError("network", name, CATALOG)


def find_detector(name: str) -> Detector:
    """The detector called `name`; if there is none, UnknownNameError suggests the nearest."""
    try:
        return DETECTORS[name]
    except KeyError:
        raise UnknownNameError("detector", name, DETECTORS) from None


def find_segmenter(name: str) -> Segmenter:
    """The segmentation network called `name`; if there is none, UnknownNameError suggests one."""
    try:
        return SEGMENTERS[name]
    except KeyError:
        raise UnknownNameError("segmentation network", name, SEGMENTERS) from None


def backbone_of(name: str) -> Network:
    """The classifier with the backbone of the network `name`; for a classifier, itself.

    Raises:
        UnknownNameError: there is no such network.
    """
    if name in DETECTORS:
        return CATALOG[DETECTORS[name].backbone]
    if name in SEGMENTERS:
        return CATALOG[SEGMENTERS[name].backbone]
    if name not in CATALOG:
        raise UnknownNameError("network", name, [*CATALOG, *DETECTORS, *SEGMENTERS])
    return CATALOG[name]


def is_same(one: str, other: str) -> bool:
    """Whether two names mean the same network: picodet_xs is picodet_x0_35."""
    if one == other or not {one, other} <= DETECTORS.keys():
        return one == other
    first, second = DETECTORS[one], DETECTORS[other]
    return first._replace(name=other, reported_ap=second.reported_ap) == second


def only_task(name: str) -> str | None:
    """The only task that a network is for; None if it suits any classification task."""
    if name in SEGMENTERS:
        return "segmentation"
    return "detection" if name in DETECTORS else None
