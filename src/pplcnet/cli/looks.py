"""Options for how to look at photos: in tiles; in windows, mirrored, at several scales."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from pplcnet.cli.arguments import number, scales, size, whole
from pplcnet.errors import InputError

if TYPE_CHECKING:
    from pplcnet.runtime.looking import Looking
    from pplcnet.runtime.model import Model
    from pplcnet.runtime.tiling import Tiled
    from pplcnet.tasks.task import Prediction

__all__ = ["DETECTORS", "SEGMENTERS", "add_looks", "check_looks", "looking", "looks_text", "refuse"]

DETECTORS = "detectors, which locate objects"
SEGMENTERS = "segmenters, which give a class for each pixel"
TILES = ("tiles", "tile_overlap")
"""Options of detectors."""
LOOKS = ("window", "stride", "most_pixels", "flip", "scales")
"""Options of segmenters."""
NEEDED = {
    "tile_overlap": ("tiles", "the size of the tiles"),
    "stride": ("window", "the size of the windows"),
    "most_pixels": ("window", "the size of the windows"),
}
"""Options that require another one, and its description for the message."""


def add_looks(parser: argparse.ArgumentParser) -> None:
    """Add the options for how a detector or a segmenter looks at photos."""
    parser.add_argument(
        "--tiles",
        type=size,
        metavar="SIZE",
        help="detectors: to find small objects in large photos, also run on overlapping tiles of "
        "this size in pixels of the photo, as 640 or 480x640 (height x width)",
    )
    parser.add_argument(
        "--tile-overlap",
        type=number(0, 0.9),
        metavar="PART",
        help="overlap of neighbouring tiles, as a fraction of their sides; objects up to that size "
        "are seen whole; default: 0.25",
    )
    parser.add_argument(
        "--window",
        type=size,
        metavar="SIZE",
        help="segmenters: predict large photos in overlapping windows of this size in pixels of "
        "the photo, as 512 or 512x1024 (height x width)",
    )
    parser.add_argument(
        "--stride",
        type=size,
        metavar="SIZE",
        help="pixels from one window to the next; default: three quarters of a window",
    )
    parser.add_argument(
        "--most-pixels",
        type=whole(1, 10**12),
        metavar="N",
        help="with --window: refuse photos with more pixels; default: 300000000",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        default=None,
        help="segmenters: average with the mirror image of each photo or window",
    )
    parser.add_argument(
        "--scales",
        type=scales,
        metavar="LIST",
        help="segmenters: average over these input sizes, as multiples of the own one, such as "
        "0.75,1,1.25; 'export --scales' adds the networks for them",
    )


def check_looks(kind: type[Prediction], arguments: argparse.Namespace) -> None:
    """Raise InputError for options that do not apply to the bundle's answers."""
    for options, is_allowed, whose in (
        (TILES, kind.can_be_tiled, DETECTORS),
        (LOOKS, bool(kind.file_ending), SEGMENTERS),
    ):
        for option in options:
            if getattr(arguments, option) is not None and not is_allowed:
                refuse(option, whose, arguments)
    for option, (other, what) in NEEDED.items():
        if getattr(arguments, option) is not None and getattr(arguments, other) is None:
            raise InputError(
                f"--{option.replace('_', '-')} needs --{other}, which sets {what}; give both."
            )


def looking(model: Model[Any], arguments: argparse.Namespace) -> Model[Any] | Looking | Tiled:
    """The model, looking at photos as the options say."""
    if arguments.tiles is not None:
        from pplcnet.runtime.tiling import Tiled, tiles_of

        return Tiled(model, tiles_of(arguments.tiles, _overlap(arguments)))
    if all(getattr(arguments, option) is None for option in LOOKS):
        return model
    from pplcnet.runtime.looking import Looking, look_of
    from pplcnet.runtime.windowing import windows_of

    windows = None
    if arguments.window is not None:
        windows = windows_of(arguments.window, arguments.stride, arguments.most_pixels)
    look = look_of(windows, flip=bool(arguments.flip), scales=arguments.scales)
    return Looking.of(model, look)


def looks_text(arguments: argparse.Namespace) -> str:
    """A short description of the options, for figures measured with them; "" without any."""
    given = {option: getattr(arguments, option) for option in ("tiles", "window", "stride")}
    texts = [f"{name} {sides[0]}x{sides[1]}" for name, sides in given.items() if sides is not None]
    if arguments.tile_overlap is not None:
        texts.append(f"overlap {arguments.tile_overlap:g}")
    if arguments.flip:
        texts.append("flip")
    if arguments.scales is not None:
        texts.append("scales " + "+".join(f"{each:g}" for each in arguments.scales))
    return ", ".join(texts)


def _overlap(arguments: argparse.Namespace) -> float:
    from pplcnet.imaging.windows import OVERLAP

    return OVERLAP if arguments.tile_overlap is None else float(arguments.tile_overlap)


def refuse(option: str, whose: str, arguments: argparse.Namespace) -> NoReturn:
    """Raise InputError for an option that applies to other bundles."""
    raise InputError(
        f"--{option.replace('_', '-')} is for {whose}; {arguments.bundle} is not one of them. "
        "Leave out the option."
    )
