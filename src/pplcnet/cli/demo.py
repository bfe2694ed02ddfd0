"""Try everything from training to prediction, without photos of your own and without downloads.

'pplcnet demo' writes scikit-learn's handwritten digits as PNG files; 'pplcnet demo detection' and
'pplcnet demo segmentation' draw pictures of circles, squares and triangles. Each then does what
'train' does with photos: it audits, trains, exports and evaluates on held-out images. At the end it
predicts a few files.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.errors import InputError

__all__ = ["add_arguments", "run"]

MARK = ".pplcnet-demo"
"""A file in the output folder that marks its photos as a demo's."""
PICTURES = 240
"""Number of pictures drawn for the demos of detection and segmentation."""


class Demo(NamedTuple):
    """One of the demos."""

    out: str
    settings: Mapping[str, Any]
    names: frozenset[str]
    """Names of everything it writes into the folder of its photos."""
    asked: tuple[str, ...]
    """Photos in that folder that the network is asked to predict."""
    answered: str
    """What the network then did, for the output."""
    photos: str
    """What a user would pass to 'train' for the same."""


DEMOS = {
    "digits": Demo(
        "runs/demo",
        {
            "model": "pplcnet_x0_25",
            "image_size": (64, 64),
            "epochs": 25,
            "batch_size": 32,
            # A mirrored digit is a different symbol, and a small crop of a digit cannot be read.
            "horizontal_flip": False,
            "crop_scale": (0.7, 1.0),
            "crop_fraction": 1.0,
        },
        frozenset("0123456789"),
        ("0", "4", "7"),
        "classified",
        "one folder per class",
    ),
    "detection": Demo(
        "runs/demo-detection",
        {
            "model": "picodet_xs",
            "image_size": (160, 160),
            "epochs": 16,
            # Neck and head start from random values, and there are few steps: hence a high
            # learning rate, and less augmentation than photos need.
            "optimizer": "sgd",
            "learning_rate": 2.5,
            "weight_decay": 0.0004,
            "gradient_clip": 10.0,
            "crop_scale": (0.4, 1.0),
            "multi_scale": 0,
            "colour_changes": False,
        },
        frozenset({"images", "train.json"}),
        ("images/0000.jpg", "images/0001.jpg", "images/0002.jpg"),
        "found",
        "COCO's JSON, Pascal VOC's or YOLO's folder, or a table",
    ),
    "segmentation": Demo(
        "runs/demo-segmentation",
        {
            "model": "mobileseg_pplcnet_x0_25",
            "image_size": (160, 160),
            "epochs": 24,
            # Most of the network starts from random values, and there are few steps: hence a
            # high learning rate, and less augmentation than photos need.
            "optimizer": "sgd",
            "learning_rate": 3.0,
            "gradient_clip": 10.0,
            "dice": 0.3,
            "lovasz": 0.0,
            "crop": 1.0,
            "passes": 1,
            "colour_jitter": 0.0,
        },
        frozenset({"images", "masks", "classes.json"}),
        ("images/0000.jpg", "images/0001.jpg", "images/0002.jpg"),
        "segmented",
        "images/ and masks/ with the same names, or a table of pairs",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=tuple(DEMOS),
        default="digits",
        metavar="WHAT",
        help="digits (the default): classify handwritten digits; detection: find drawn shapes; "
        "segmentation: say which shape each pixel belongs to",
    )
    places = ", ".join(f"{demo.out} for {name}" for name, demo in DEMOS.items())
    parser.add_argument("--out", metavar="FOLDER", help=f"folder to write to; default: {places}")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run of an earlier demo"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo's photos through the whole job, and show what to do next."""
    from pplcnet.models.catalog import backbone_of
    from pplcnet.recipe.starts import FRACTAL, recipe_by_start
    from pplcnet.runs.training_run import run_job
    from pplcnet.weights.backbones import shipped_networks

    demo = DEMOS[arguments.what]
    out, console = Path(arguments.out or demo.out), Console()
    photos = out / "photos"
    _check_place(demo, out, overwrite=arguments.overwrite)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("'pplcnet demo' wrote the photos in this folder.\n", encoding="utf-8")
    console.say(_write(arguments.what, photos))
    # Without a download: weights that ship with the package, if there are any for this network.
    has_backbone = backbone_of(demo.settings["model"]).name in shipped_networks()
    recipe = recipe_by_start({**demo.settings, "weights": FRACTAL if has_backbone else None})
    result = run_job(
        photos,
        recipe,
        out / "run",
        overwrite=True,
        watcher=console,
        before_training=quiet_frameworks,
    )

    from pplcnet.runtime.model import load

    model = load(result.bundle)
    for name in demo.asked:
        path = photos / name
        path = path if path.is_file() else sorted(path.iterdir())[0]
        show(f"{demo.answered:<11} {path}: {model.predict(path).to_text()}")
    for line in (*result.summary(), *result.advice()):
        show(line)
    show(
        f"your photos pplcnet train PHOTOS --out runs/first   (PHOTOS: {demo.photos}; "
        "'pplcnet train --help' for the rest)"
    )
    return 0


def _write(what: str, photos: Path) -> str:
    """Write the photos of a demo; returns a description of what was done."""
    if what == "digits":
        from pplcnet.data.digits import write_digits

        return f"writing {write_digits(photos)} handwritten digits to {photos}"
    if what == "segmentation":
        from pplcnet.data.shapes import write_shape_masks

        write_shape_masks(photos, PICTURES)
        return f"drawing shapes and their masks in {PICTURES} pictures in {photos}"
    from pplcnet.data.shapes import write_shapes

    return f"drawing {write_shapes(photos, PICTURES)} shapes in {PICTURES} pictures in {photos}"


def _check_place(demo: Demo, out: Path, *, overwrite: bool) -> None:
    """Raise InputError if the demo would touch files not its own, or delete a run unasked."""
    from pplcnet.runs.files import holds_something, read_run
    from pplcnet.system.files import check_writable

    check_writable(out)
    photos, run = out / "photos", out / "run"
    names = {each.name for each in photos.iterdir()} if photos.is_dir() else set()
    recorded = read_run(run)
    is_of_demo = recorded is not None and recorded["photos"] == str(photos.resolve())
    # Demos of version 0.2 and earlier left no mark.
    is_marked = (out / MARK).is_file() or (
        recorded is not None
        and is_of_demo
        and recorded["recipe"].get("model") == demo.settings["model"]
        and recorded["recipe"].get("image_size") == list(demo.settings["image_size"])
    )
    # A user's own photos may be in folders with the same names.
    if names and not (names <= demo.names and is_marked):
        raise InputError(f"{photos}: holds photos that are not the demo's; choose another --out.")
    if holds_something(run) and not is_of_demo:
        raise InputError(f"{run}: holds a run of other photos; choose another --out.")
    if holds_something(run) and not overwrite:
        raise InputError(
            f"{run}: already holds a demo's run; --overwrite replaces it, another --out leaves "
            f"it alone, 'pplcnet train --resume --out {shlex.quote(str(run))}' continues it."
        )
