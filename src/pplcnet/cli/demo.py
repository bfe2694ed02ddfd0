"""Try the whole job on handwritten digits, without downloads.

Writes scikit-learn's digits as PNG files, then does what 'train' does with a folder of photos:
audits, trains, exports, evaluates on held-out images. At the end it classifies a few files.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.errors import InputError

__all__ = ["add_arguments", "run"]

SETTINGS = {
    "model": "pplcnet_x0_25",
    "image_size": (64, 64),
    "epochs": 25,
    "batch_size": 32,
    # A mirrored digit is not the same digit, and a small crop of one cannot be read.
    "horizontal_flip": False,
    "crop_scale": (0.7, 1.0),
    "crop_fraction": 1.0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--out",
        default="runs/demo",
        metavar="FOLDER",
        help="folder to write to; default: runs/demo",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run of a demo before")


def run(arguments: argparse.Namespace) -> int:
    """Run the job on the digits and show what to do next."""
    from pplcnet.data.digits import write_digits
    from pplcnet.recipe.starts import FRACTAL, recipe_by_start
    from pplcnet.runs.training_run import run_job
    from pplcnet.weights.backbones import shipped_networks

    out, console = Path(arguments.out), Console()
    photos = out / "photos"
    _check_place(photos, out / "run", overwrite=arguments.overwrite)
    console.say(f"writing {write_digits(photos)} handwritten digits to {photos}")
    # Without a download: what ships with the package, if anything does for this network.
    has_backbone = SETTINGS["model"] in shipped_networks()
    recipe = recipe_by_start({**SETTINGS, "weights": FRACTAL if has_backbone else None})
    result = run_job(
        photos,
        recipe,
        out / "run",
        overwrite=True,
        watcher=console,
        before_training=quiet_frameworks,
    )

    from pplcnet.runtime.classifier import Classifier

    classifier = Classifier(result.bundle)
    for digit in ("0", "4", "7"):
        path = sorted((photos / digit).iterdir())[0]
        best = classifier.predict(path).best
        show(f"classified  {path}: {best.label} ({best.probability:.3f})")
    for line in (*result.summary(), *result.advice()):
        show(line)
    show(
        "your photos pplcnet train PHOTOS --out runs/first   (PHOTOS: one folder per class; "
        "'pplcnet train --help' for the rest)"
    )
    return 0


def _check_place(photos: Path, run: Path, *, overwrite: bool) -> None:
    """InputError where the demo would touch what is not its own, or delete a run unasked."""
    from pplcnet.runs.files import holds_something, read_run

    if photos.is_dir() and not {each.name for each in photos.iterdir()} <= set("0123456789"):
        raise InputError(f"{photos}: holds photos that are not the demo's; choose another --out.")
    recorded = read_run(run)
    is_of_demo = recorded is not None and recorded["photos"] == str(photos.resolve())
    if holds_something(run) and not is_of_demo:
        raise InputError(f"{run}: holds a run of other photos; choose another --out.")
    if holds_something(run) and not overwrite:
        raise InputError(
            f"{run}: holds the run of a demo already; --overwrite replaces it, another --out "
            f"leaves it alone, 'pplcnet train --resume --out {shlex.quote(str(run))}' continues it."
        )
