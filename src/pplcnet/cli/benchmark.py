"""Compare the speed of networks, bundles and engines on this machine.

Runs are interleaved on pinned cores, and medians are printed. Accuracies are those reported by the
authors for their ImageNet weights. Latency does not depend on the weights, so networks are timed
with random ones: classifiers with 1000 classes, detectors with 80, segmenters with 19.
Postprocessing (boxes, class maps) is not timed. Writes benchmark.json, benchmark.txt, benchmark.png
and benchmark.svg to --out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.arguments import MOST_THREADS, size, whole
from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show_json, show_page
from pplcnet.errors import InputError, UnknownNameError
from pplcnet.system.files import check_writable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "subjects",
        metavar="NETWORK_OR_BUNDLE",
        nargs="*",
        help="default: every network with a reported accuracy and at most 350 million "
        "multiply-accumulates",
    )
    parser.add_argument(
        "--image-size",
        type=size,
        metavar="SIZE",
        help="input size of the networks, as 320 or 512x1024 (height x width); default: 224 for "
        "classifiers, 320 for detectors, 512x1024 for segmenters",
    )
    parser.add_argument(
        "--threads", type=whole(1, MOST_THREADS), metavar="N", help="cores to use; default: all"
    )
    parser.add_argument(
        "--rounds",
        type=whole(1, 100_000),
        default=12,
        metavar="N",
        help="rounds; each network is timed once per round. Default: 12",
    )
    parser.add_argument(
        "--int8", action="store_true", help="also time INT8 networks; quantising each takes seconds"
    )
    parser.add_argument(
        "--compare",
        default="",
        metavar="NAMES",
        help="other frameworks to time, separated by commas, each in its own process: "
        "keras-predict, tf-function, timm, paddle",
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the Python interpreter for a framework, such as paddle=/venv/bin/python; may be "
        "repeated",
    )
    parser.add_argument(
        "--out",
        default="benchmark",
        metavar="FOLDER",
        help="where the files go. Default: benchmark",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="instead show where the time of one network goes, operator by operator, against "
        "this processor's roofline; default: pplcnet_x1_0. Writes profile.json and profile.txt",
    )
    parser.add_argument(
        "--engine",
        choices=["onnxruntime", "openvino"],
        help="for --profile; default: openvino if it is installed",
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16", "int8", "int8-bfloat16"],
        help="for --profile; default: bfloat16 if the processor supports it",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write the files and print the table."""
    from pplcnet.benchmarking.subjects import NETWORKS

    pythons = _pythons(arguments.python)
    check_writable(arguments.out)
    others = [name for name in arguments.compare.split(",") if name]
    _check_together(arguments, pythons, others)
    for name in arguments.subjects:
        if name not in NETWORKS:
            if not Path(name).exists():
                raise UnknownNameError("network or bundle", name, NETWORKS)
            Bundle.open(name)
    console = Console()
    quiet_frameworks("benchmark")
    if arguments.profile:
        return _profile(arguments, console)
    from pplcnet.benchmarking.comparison import compare
    from pplcnet.benchmarking.comparison_files import describe, write_comparison
    from pplcnet.benchmarking.others.worker_process import OtherProcess
    from pplcnet.benchmarking.subjects import default_names, load_subject
    from pplcnet.system.processor import available_cores

    names = arguments.subjects or default_names()
    threads = arguments.threads or available_cores()
    processes: dict[str, OtherProcess] = {}
    try:
        for name in others:
            processes[name] = OtherProcess(name, threads=threads, python=pythons.get(name))
        subjects = [
            load_subject(name, arguments.image_size, int8=arguments.int8)
            for name in console.watch(names, len(names), "build")
        ]
        comparison = compare(
            subjects,
            threads=threads,
            rounds=arguments.rounds,
            others=processes,
            report=console.say,
        )
    finally:
        for process in processes.values():
            process.close()
    written = write_comparison(comparison, Path(arguments.out))
    if arguments.json:
        show_json(comparison.to_dict(), indent=2)
    else:
        show_page(describe(comparison))
    console.say(f"written to {arguments.out}: {', '.join(path.name for path in written)}")
    return 0


def _check_together(
    arguments: argparse.Namespace, pythons: dict[str, str], others: list[str]
) -> None:
    """Raise InputError for options that would be ignored."""
    of_profile = [f"--{name}" for name in ("engine", "precision") if getattr(arguments, name)]
    if of_profile and not arguments.profile:
        raise InputError(
            f"{' and '.join(of_profile)}: for --profile only; a comparison times every engine and "
            "precision that runs here."
        )
    of_comparison = [f"--{name}" for name in ("int8", "compare") if getattr(arguments, name)]
    if of_comparison and arguments.profile:
        raise InputError(
            f"--profile measures one network alone; leave out {' and '.join(of_comparison)}."
        )
    if unused := [name for name in pythons if name not in others]:
        raise InputError(f"--python names {unused[0]!r}, which --compare does not.")


def _profile(arguments: argparse.Namespace, console: Console) -> int:
    from pplcnet.benchmarking.profile import describe_profile, profile, write_profile
    from pplcnet.benchmarking.subjects import load_subject

    names = arguments.subjects or ["pplcnet_x1_0"]
    if len(names) > 1:
        raise InputError(f"--profile takes one network or bundle, not {len(names)}.")
    is_int8 = (arguments.precision or "").startswith("int8")
    found = profile(
        load_subject(names[0], arguments.image_size, int8=is_int8),
        engine=arguments.engine,
        precision=arguments.precision,
        threads=arguments.threads,
        report=console.say,
    )
    written = write_profile(found, Path(arguments.out))
    if arguments.json:
        show_json(found.to_dict(), indent=2)
    else:
        show_page(describe_profile(found))
    console.say(f"written to {arguments.out}: {', '.join(path.name for path in written)}")
    return 0


def _pythons(given: list[str]) -> dict[str, str]:
    pythons = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or not Path(path).is_file():
            raise InputError(f"--python is {text!r}; it must be NAME=PATH of an interpreter.")
        pythons[name] = path
    return pythons
