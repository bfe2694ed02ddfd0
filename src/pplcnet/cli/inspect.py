"""Show what a bundle contains and verify the checksum of every file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pplcnet.cli.arguments import BUNDLE_HELP
from pplcnet.cli.output import show, show_json
from pplcnet.system.wording import counted
from pplcnet.tasks import find

if TYPE_CHECKING:
    from pplcnet.bundle.bundle import Bundle

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    parser.add_argument("--json", action="store_true", help="print the manifest")


def run(arguments: argparse.Namespace) -> int:
    """Verify and describe the bundle."""
    from pplcnet.bundle.bundle import read_consistently

    bundle = read_consistently(arguments.bundle, _verified)
    manifest = bundle.manifest
    if arguments.json:
        show_json(json.loads(manifest.to_json()), indent=2)
        return 0
    pre, made_of = manifest.preprocessing, manifest.provenance
    height, width = pre.image_size
    show(f"{bundle.path}: {manifest.network['name']}, {counted(len(bundle.classes), 'class')}")
    show(f"classes        {', '.join(bundle.classes)}")
    show(f"task           {manifest.task}")
    for key, value in manifest.decoding.items():
        if key != "temperature":
            show(f"{key:<14} {_shown(value)}")
    crop = f", centre crop {pre.crop_fraction:g}" if pre.resize == "cover" else ""
    show(
        f"input          uint8 RGB {height}x{width} (height x width), {pre.resize}{crop}, "
        f"{pre.interpolation}"
    )
    mean, std = (", ".join(f"{each:.4g}" for each in values) for values in (pre.mean, pre.std))
    show(f"normalisation  mean {mean}; std {std} (RGB from 0 to 1)")
    if "temperature" in find(manifest.task).decoding:
        fitted = "" if manifest.calibration else " (not fitted)"
        show(f"temperature    {manifest.temperature:.4g}{fitted}")
    for name, variant in manifest.variants.items():
        size = manifest.files[variant["file"]]["bytes"]
        show(f"variant {name:<6} {variant['file']}, {size / 1e6:.2f} MB")
        for key, value in variant.items():
            if key != "file":
                is_dynamic = key == "batch" and value is None
                show(f"               {key}: {'any size' if is_dynamic else _shown(value)}")
    _show_provenance(made_of)
    show(f"files          {len(manifest.files)}, all checksums match")
    return 0


def _show_provenance(made_of: Mapping[str, Any]) -> None:
    from pplcnet.weights.starts import Start

    start = Start.of_provenance(made_of)
    for key, value in made_of.items():
        if key == "weights" and start is not None and isinstance(value, dict):
            show(f"started from   {start.describe()}")
            if value.get("file"):
                show(f"               {value['file']}, sha256 {value.get('sha256')}")
        elif key == "recipe" and isinstance(value, dict):
            show("recipe")
            for field, each in value.items():
                show(f"  {field:<22} {_shown(each)}")
        else:
            show(f"{key:<14} {_shown(value)}")


def _verified(bundle: Bundle) -> Bundle:
    bundle.verify()
    return bundle


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
