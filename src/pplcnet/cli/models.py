"""List the networks with their parameters and multiply-accumulates at 1000 classes and 224x224.

Accuracies are those reported by the authors for their own ImageNet weights. The column `weights`
lists the pretrained weights that '--weights' and 'predict NAME:WEIGHTS' accept, and fractal if a
backbone for '--weights' ships with pplcnet. Detectors follow, with COCO's 80 classes at 320x320;
they can also start from the weights of the classifier with the same backbone. '--family picodet'
lists only detectors, also as JSON. Segmenters come last, with 19 classes at 512x1024; they start
from the weights of the classifier with the same backbone.
"""

from __future__ import annotations

import argparse
from typing import Any

from pplcnet.cli.arguments import number
from pplcnet.cli.output import show, show_json
from pplcnet.errors import InputError, UnknownNameError
from pplcnet.models.catalog import CATALOG, DETECTORS, FAMILIES, SEGMENTERS, Detector, Network
from pplcnet.weights.backbones import FRACTAL, shipped_networks
from pplcnet.weights.sources import sources_of

__all__ = ["add_arguments", "run"]

PICODET = "picodet"
SORTS = {
    "name": lambda row: row.name,
    "parameters": lambda row: row.parameters,
    "macs": lambda row: row.macs_224,
    "top1": lambda row: -(row.reported_top1 or 0.0),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--family", metavar="NAME", help=f"list one family only: {', '.join((*FAMILIES, PICODET))}"
    )
    parser.add_argument(
        "--max-macs",
        type=number(0.001, 1e6),
        metavar="MILLIONS",
        help="list only networks with at most this many million multiply-accumulates",
    )
    parser.add_argument(
        "--sort",
        choices=SORTS,
        metavar="KEY",
        help=f"{', '.join(SORTS)}; default: by family",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalog."""
    if arguments.family == PICODET:
        if arguments.max_macs is not None or arguments.sort is not None:
            raise InputError(
                "--max-macs and --sort are for classifiers; leave them out with --family picodet."
            )
        if arguments.json:
            show_json([_detector_record(row) for row in DETECTORS.values()], indent=2)
        else:
            _show_detectors()
        return 0
    rows = _chosen(arguments)
    if arguments.json:
        records = [
            row._asdict() | {"weights": list(sources_of(row.name)), "backbones": _backbones(row)}
            for row in rows
        ]
        show_json(records, indent=2)
        return 0
    width = max(len(row.name) for row in rows)
    show(
        f"{'name':<{width}} {'parameters':>11} {'MACs at 224':>12} {'ImageNet top-1':>15} "
        f"{'top-5':>6}  weights"
    )
    for row in rows:
        show(
            f"{row.name:<{width}} {row.parameters / 1e6:>9.2f} M {row.macs_224 / 1e6:>10.1f} M "
            f"{_percent(row.reported_top1, 2):>15} {_percent(row.reported_top5, 1):>6}  "
            f"{', '.join((*sources_of(row.name), *_backbones(row)))}"
        )
    if arguments.family is None and arguments.max_macs is None:
        show("")
        _show_detectors()
        show("")
        _show_segmenters()
    return 0


def _show_detectors() -> None:
    width = max(map(len, DETECTORS))
    show(
        f"{'detector':<{width}} {'parameters':>11} {'MACs at 320':>12} {'COCO AP':>8}  "
        f"{'backbone':<14}  weights"
    )
    for row in DETECTORS.values():
        show(
            f"{row.name:<{width}} {row.parameters / 1e6:>9.2f} M {row.macs_320 / 1e6:>10.1f} M "
            f"{_percent(row.reported_ap.get(320), 1):>8}  {row.backbone:<14}  "
            f"{', '.join(_of_detector(row))}".rstrip()
        )


def _show_segmenters() -> None:
    width = max(map(len, SEGMENTERS))
    show(f"{'segmenter':<{width}} {'parameters':>11} {'MACs at 512x1024':>17}  backbone")
    for row in SEGMENTERS.values():
        show(
            f"{row.name:<{width}} {row.parameters / 1e6:>9.2f} M "
            f"{row.macs_512x1024 / 1e6:>15.1f} M  {row.backbone}"
        )


def _detector_record(row: Detector) -> dict[str, Any]:
    return {**row._asdict(), "family": PICODET, "weights": _of_detector(row)}


def _of_detector(row: Detector) -> list[str]:
    """The weights available for the whole detector."""
    found = sources_of(row.name)
    return [tag for tag, source in found.items() if source.network == row.name]


def _chosen(arguments: argparse.Namespace) -> list[Network]:
    if arguments.family is not None and arguments.family not in FAMILIES:
        raise UnknownNameError("family", arguments.family, (*FAMILIES, PICODET))
    rows = [
        row
        for row in CATALOG.values()
        if arguments.family in (None, row.family)
        and (arguments.max_macs is None or row.macs_224 <= arguments.max_macs * 1e6)
    ]
    if not rows:
        raise InputError("no network matches; relax --family or --max-macs.")
    return sorted(rows, key=SORTS[arguments.sort]) if arguments.sort else rows


def _backbones(row: Network) -> list[str]:
    """The kinds of backbone weights for this network that ship with pplcnet."""
    return [FRACTAL] if row.name in shipped_networks() else []


def _percent(fraction: float | None, digits: int) -> str:
    return "-" if fraction is None else f"{fraction:.{digits}%}"
