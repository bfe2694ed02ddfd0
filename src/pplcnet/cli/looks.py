"""How a segmenter looks at photos: in windows, mirrored, at several scales."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from pplcnet.cli.arguments import scales, size, whole
from pplcnet.errors import InputError

if TYPE_CHECKING:
    from pplcnet.runtime.looking import Looking
    from pplcnet.runtime.model import Model
    from pplcnet.tasks.task import Prediction

__all__ = ["SEGMENTERS", "add_looks", "check_looks", "looking", "looks_text", "refuse"]

SEGMENTERS = "segmenters, which give a class for each pixel"
LOOKS = ("window", "stride", "most_pixels", "flip", "scales")
"""Options."""


def add_looks(parser: argparse.ArgumentParser) -> None:
    """How a segmenter looks at photos."""
    parser.add_argument(
        "--window",
        type=size,
        metavar="SIZE",
        help="of a segmenter: look at large photos in overlapping windows of this size; pixels of "
        "the photo, 512 or 512x1024 (height x width)",
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
        help="of --window: refuse photos of more pixels; default: 300000000",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        default=None,
        help="of a segmenter: average with the mirror image of each photo or window",
    )
    parser.add_argument(
        "--scales",
        type=scales,
        metavar="LIST",
        help="of a segmenter: average over inputs of these sizes, as multiples of its own, whose "
        "networks 'export --scales' adds; 0.75,1,1.25",
    )


def check_looks(kind: type[Prediction], arguments: argparse.Namespace) -> None:
    """InputError for a way of looking that the bundle's answers have no use for."""
    for option in LOOKS:
        if getattr(arguments, option) is not None and not kind.file_ending:
            refuse(option, SEGMENTERS, arguments)
    for option in ("stride", "most_pixels"):
        if getattr(arguments, option) is not None and arguments.window is None:
            raise InputError(
                f"--{option.replace('_', '-')} is of --window, which says how large windows are; "
                "give both."
            )


def looking(model: Model[Any], arguments: argparse.Namespace) -> Model[Any] | Looking:
    """The model, looking at photos as the options say."""
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
    """The options in a few words, for figures that were measured so; "" without any."""
    given = {option: getattr(arguments, option) for option in ("window", "stride")}
    texts = [f"{name} {sides[0]}x{sides[1]}" for name, sides in given.items() if sides is not None]
    if arguments.flip:
        texts.append("flip")
    if arguments.scales is not None:
        texts.append("scales " + "+".join(f"{each:g}" for each in arguments.scales))
    return ", ".join(texts)


def refuse(option: str, whose: str, arguments: argparse.Namespace) -> NoReturn:
    """InputError for an option that is of other bundles."""
    raise InputError(
        f"--{option.replace('_', '-')} is for {whose}; {arguments.bundle} is not one. Leave it out."
    )
