"""Run a bundle on millions of photos, over hours or days, and write the answers as Parquet files.

SOURCE is a folder, searched recursively, or a list of names: a .txt file with a name on each line,
or a .csv or .parquet file with a column of paths (path, file, filename or image). Names in a list
are relative to the list's folder. Photos in tar files are read if SOURCE ends in .tar; quote a
pattern, as in 'shards/*.tar'. Each tar file is then a shard. SOURCE, the names in a list and JOB
can be in object storage: s3://bucket/folder, gs://bucket/folder or az://account/container/folder.

The photos are listed once and divided into shards. Each shard becomes one file,
JOB/parts/part-NNNNNN.parquet, with a row for each photo in the order of the plan: path, the best
answer, all answers, and the error if the photo is broken. A file is never incomplete. After Ctrl-C,
a crash or a power cut, the same command resumes with the shards that have no file. JOB/job.json
records the options, JOB/failed/ the shards that were given up and why; JOB/summary.json appears
once all are done.

Exit code 0: all shards are done; 1: some were given up, or too many photos are broken; 2: wrong
input, or storage that cannot be used.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from pplcnet.cli.arguments import BUNDLE_HELP, add_cluster, add_engine, number, whole
from pplcnet.cli.console import Console
from pplcnet.cli.official import COMPARED, bundle_of
from pplcnet.cli.output import complain, show, show_json
from pplcnet.errors import InputError, StorageError, require
from pplcnet.system.wording import counted

if TYPE_CHECKING:
    from pplcnet.jobs.classify import Result, State

__all__ = ["add_arguments", "run"]

FAILURES_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        nargs="?",
        help=f"{BUNDLE_HELP}, or an exported .onnx file, or a network's name for its official "
        "weights, as pplcnet_x1_0",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="a folder, a .txt, .csv or .parquet list, or a pattern of .tar files",
    )
    parser.add_argument("--out", metavar="JOB", required=True, help="the job's folder")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--status", action="store_true", help="show the job's progress and exit")
    what.add_argument(
        "--merge",
        action="store_true",
        help="write all parts of a finished job as JOB/results.parquet and exit",
    )
    parser.add_argument("--json", action="store_true", help="with --status: print JSON")
    add_cluster(
        parser,
        "where to run: on this machine, or on a Ray cluster (needs ray); default: local",
    )
    parser.add_argument(
        "--workers",
        type=whole(1, 100_000),
        metavar="N",
        help="number of processes, one core each; default: one per core of the machine or the "
        "cluster",
    )
    parser.add_argument(
        "--shards",
        type=_share,
        default=(0, 1),
        metavar="I/N",
        help="do only share I (from 0) of N equal shares of the shards, as one of N processes "
        "started by Slurm, Kubernetes or the like",
    )
    parser.add_argument(
        "--top-k",
        type=whole(1, 1_000_000),
        metavar="K",
        help="keep the K most probable answers for each photo; default: 1, or for a multi-label "
        "bundle every label that reaches its threshold",
    )
    parser.add_argument(
        "--files",
        action="store_true",
        help="segmenters: write every photo's class map to JOB/files; its name is in the column "
        "file",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="the column of a .csv or .parquet list that holds the paths",
    )
    parser.add_argument(
        "--root",
        metavar="PLACE",
        help="folder that the names in a list are relative to; default: the list's folder",
    )
    parser.add_argument(
        "--limit",
        type=whole(1, 10**15),
        metavar="N",
        help="only the first N photos, or with tar files the first N files",
    )
    parser.add_argument(
        "--shard-photos",
        type=whole(1, 1_000_000),
        default=2000,
        metavar="N",
        help="photos per shard (the first shards have fewer); default: 2000",
    )
    parser.add_argument(
        "--readers",
        type=whole(1, 1024),
        default=16,
        metavar="N",
        help="photos that each process reads at once; default: 16",
    )
    parser.add_argument(
        "--retries",
        type=whole(0, 1000),
        default=5,
        metavar="N",
        help="how often a failed shard is tried again; default: 5",
    )
    parser.add_argument(
        "--max-broken",
        type=number(0, 1),
        metavar="SHARE",
        help="stop when more than this share of all photos is broken; default: 0.01, and never "
        "for fewer than 100 photos",
    )
    add_engine(parser)


def run(arguments: argparse.Namespace) -> int:
    """Start or resume a job, show its state, or merge it."""
    for module in ("pyarrow", "pyarrow.parquet"):
        require(module, purpose="'pplcnet classify'", extra="parquet")
    from pplcnet.jobs.failures import StorageFailure

    try:
        return _run(arguments)
    except StorageFailure as error:  # failures of the job itself, not of one shard
        raise StorageError(f"{error} Run the same command again to resume.") from error


def _run(arguments: argparse.Namespace) -> int:
    if arguments.json and not arguments.status:
        raise InputError("--json prints what --status shows; give --status as well.")
    if arguments.status:
        return _show_state(arguments)
    if arguments.merge:
        from pplcnet.jobs.classify import MERGED_FILE, merge_job

        with Console().busy("merging the parts"):
            rows = merge_job(arguments.out)
        show(f"{arguments.out}/{MERGED_FILE}: {counted(rows, 'row')}")
        return 0
    if not arguments.bundle or not arguments.source:
        raise InputError("BUNDLE and SOURCE are needed, unless --status or --merge is given.")
    return _classify(arguments)


def _classify(arguments: argparse.Namespace) -> int:
    from pplcnet.cli.job_progress import JobProgress
    from pplcnet.jobs.classify import Options, classify_photos
    from pplcnet.jobs.samples import write_samples
    from pplcnet.jobs.source import find_source

    if arguments.address and arguments.on != "ray":
        raise InputError("--address is the address of a Ray cluster; give --on ray as well.")
    options = Options(
        on_ray=arguments.on == "ray",
        address=arguments.address,
        top_k=arguments.top_k,
        files=arguments.files,
        engine=arguments.engine,
        precision=arguments.precision,
        column=arguments.column,
        root=arguments.root,
        limit=arguments.limit,
        shard_photos=arguments.shard_photos,
        workers=arguments.workers,
        readers=arguments.readers,
        retries=arguments.retries,
        most_broken=arguments.max_broken,
        share=arguments.shards,
        is_trusted=arguments.trust_network,
    )
    source = find_source(arguments.source, arguments.column, arguments.root)
    bundle = bundle_of(arguments.bundle, lambda folder: write_samples(source, folder, COMPARED))
    with JobProgress() as shown:
        result = classify_photos(
            bundle,
            arguments.source,
            arguments.out,
            options,
            report=shown.report,
            say=shown.say,
        )
    return _conclude(arguments, result)


def _conclude(arguments: argparse.Namespace, result: Result) -> int:
    progress = result.progress
    for note in result.notes:
        complain(f"note: {note}")
    if result.is_stopped:
        complain(
            f"stopped: {progress.broken} of {progress.done_photos} photos "
            f"{'is' if progress.broken == 1 else 'are'} broken, which is more than --max-broken "
            "allows; the rows with an error say why. To resume, run the same command with a "
            "higher --max-broken."
        )
        return 1
    for shard, reason in list(progress.failed.items())[:FAILURES_SHOWN]:
        complain(f"shard {shard} was given up: {reason}")
    if progress.failed:
        complain(
            f"{counted(len(progress.failed), 'shard')} of {progress.shards} failed "
            f"({arguments.out}/failed says why); run the same command to try them again."
        )
        return 1
    rest = "" if result.is_complete else "; other shares of the shards are not done yet"
    show(
        f"{counted(progress.done_photos, 'photo')}, {progress.broken} of them broken, in "
        f"{counted(progress.done_shards, 'file')} of {arguments.out}/parts{rest}"
    )
    return 0


def _show_state(arguments: argparse.Namespace) -> int:
    from pplcnet.jobs.classify import state_of

    state: State = state_of(arguments.out)
    plan = state.job.plan
    photos = None if state.job.source.is_of_tars else plan.photos
    if arguments.json:
        show_json(
            {
                "photos": photos,
                "shards": plan.shards,
                "done": len(state.done),
                "given_up": {str(each): why["reason"] for each, why in state.failures.items()},
            },
            indent=2,
        )
        return 0
    what = "photos" if photos is None else counted(photos, "photo")
    show(
        f"{what} of {state.job.wanted.source} in "
        f"{counted(plan.shards, 'shard')}: {len(state.done)} done, {len(state.failures)} given up, "
        f"{plan.shards - len(state.done) - len(state.failures)} to do"
    )
    for shard, why in state.failures.items():
        show(f"shard {shard} was given up: {why['reason']}")
    return 0


def _share(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if found is None or not int(found[1]) < int(found[2]):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not allowed; it must be I/N with I from 0 to N-1, as 0/16"
        )
    return int(found[1]), int(found[2])
