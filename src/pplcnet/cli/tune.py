"""Find the fastest way to run a bundle on this machine, and use it from then on.

Every installed engine is timed in every precision and with every number of threads. Combinations
that lose too much accuracy are not used. The table is stored in the bundle under this processor's
name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.console import Console, quiet_litert
from pplcnet.cli.int8_options import add_search, check_installed, check_int8_asked, try_int8
from pplcnet.cli.output import show, show_json
from pplcnet.cli.validation import add_bundle_and_validation, add_max_drop, find_validation
from pplcnet.errors import ConversionError
from pplcnet.system.processor import processor_name

if TYPE_CHECKING:
    from pplcnet.data.dataset import Dataset
    from pplcnet.exporting.int8_trial import Trial
    from pplcnet.exporting.tuning_table import Row

__all__ = ["add_arguments", "run", "tune_and_show"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_bundle_and_validation(parser)
    add_max_drop(parser)
    parser.add_argument(
        "--fast-resize",
        action="store_true",
        help="also turn on faster decoding and resizing of photos, if the answers agree; without "
        "this option they are turned off",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="first try INT8 networks, as 'pplcnet quantize' does",
    )
    add_search(parser)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Tune and print the table."""
    check_int8_asked(arguments)
    if arguments.int8:
        check_installed()
    found = find_validation(arguments)
    trials: list[Trial] = []
    if arguments.int8:
        try:
            trials = try_int8(arguments, found)
        except ConversionError as error:  # the bundle can be tuned without it
            Console().say(str(error))
    tune_and_show(arguments, found.validation, trials, fast_resize=arguments.fast_resize)
    return 0


def tune_and_show(
    arguments: argparse.Namespace,
    validation: Dataset,
    trials: Sequence[Trial],
    *,
    fast_resize: bool = False,
) -> None:
    """Tune and print the table; `quantize` uses this too."""
    from pplcnet.exporting.tuning import tune

    console = Console()
    quiet_litert(Bundle.open(arguments.bundle))
    with console.busy("tuning"):
        tuning = tune(
            arguments.bundle,
            validation,
            max_drop=arguments.max_drop,
            fast_resize=fast_resize,
            trials=trials,
            report=console.say,
        )
    if arguments.json:
        show_json(tuning.bundle.manifest.tuning[processor_name()], indent=2)
        return
    measure = tuning.rows[0].measure.title
    allowed = tuning.bundle.manifest.tuning[processor_name()]["max_drop"]
    show(f"on {processor_name()}:")
    show(f"{'engine':<12} {'precision':<14} {'ms':>8} {'p90':>8} {'threads':>7} "
          f"{'images/s':>9} {measure:>7} {'agrees':>7}")  # fmt: skip
    for row in tuning.rows:
        show(_line(row))
    show(
        "ranked by ms divided by images/s, so that latency and throughput count equally; a lower "
        f"precision may lose at most {allowed:g} {measure}"
    )
    show(f"'predict' and pplcnet.load now use {tuning.rows[0].choice}.")
    if (resizing := tuning.resizing) is not None:
        state = "on" if tuning.is_fast_resize else "off, too many answers differ"
        show(
            f"fast resize {state}: same answer for {resizing.agreement:.1%} of the photos, "
            f"{measure} {resizing.fast_accuracy:.4f} (exact {resizing.exact_accuracy:.4f})"
        )


def _line(row: Row) -> str:
    timing = f"{'-':>8} {'-':>8} {'-':>7} {'-':>9}"
    if row.latency is not None:
        timing = (
            f"{row.latency.median_ms:>8.3f} {row.latency.p90_ms:>8.3f} {row.threads:>7} "
            f"{row.images_per_second or 0:>9.0f}"
        )
    return (
        f"{row.choice.engine:<12} {row.choice.precision:<14} {timing} {row.accuracy:>7.4f} "
        f"{row.agreement:>7.4f}  {row.verdict}"
    ).rstrip()
