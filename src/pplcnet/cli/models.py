"""The networks of the catalog: parameters and multiply-accumulates at 1000 classes and 224x224.

Accuracies are what the authors report for their own ImageNet weights.
"""

from __future__ import annotations

import argparse
import json

from pplcnet.models.catalog import CATALOG

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalog."""
    if arguments.json:
        print(json.dumps([row._asdict() for row in CATALOG.values()], indent=2))
        return 0
    width = max(map(len, CATALOG))
    print(
        f"{'name':<{width}} {'parameters':>11} {'MACs at 224':>12} {'ImageNet top-1':>15} "
        f"{'top-5':>6}"
    )
    for row in CATALOG.values():
        print(
            f"{row.name:<{width}} {row.parameters / 1e6:>9.2f} M {row.macs_224 / 1e6:>10.1f} M "
            f"{_percent(row.reported_top1, 2):>15} {_percent(row.reported_top5, 1):>6}"
        )
    return 0


def _percent(fraction: float | None, digits: int) -> str:
    return "-" if fraction is None else f"{fraction:.{digits}%}"
