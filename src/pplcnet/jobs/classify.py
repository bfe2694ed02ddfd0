"""A whole job: start or resume it, run it, report on it, merge its parts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from pplcnet.data.image_files import PassedOver
from pplcnet.errors import InputError, require
from pplcnet.jobs.driver import Driver, Limits, Progress, TooManyBrokenError, Workers
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.job import SUMMARY_FILE, Job, Wanted, begin_job, read_job
from pplcnet.jobs.local_workers import LocalWorkers
from pplcnet.jobs.network import JobNetwork, look_at_network
from pplcnet.jobs.parts import (
    done_shards,
    facts_of_parts,
    failed_name,
    failures_of,
    merge_parts,
    remove_leftovers,
)
from pplcnet.jobs.plan import Plan, photos_of, plan_shards, read_shards
from pplcnet.jobs.source import Source, find_source, list_names
from pplcnet.jobs.storage import Storage, is_address, open_storage
from pplcnet.jobs.worker import Settings
from pplcnet.system.files import check_writable
from pplcnet.system.processor import available_cores
from pplcnet.system.wording import counted, duration, json_text

__all__ = ["MERGED_FILE", "Options", "Result", "State", "classify_photos", "merge_job", "state_of"]

MERGED_FILE = "results.parquet"
WAIT_SECONDS, POLL_SECONDS = 3600.0, 2.0
"""How long the other shares wait for share 0 to write the plan, and how often they look."""
MOST_BROKEN = 0.01
"""The default limit on the fraction of broken photos."""
BROKEN_ANYWAY = 100
"""The default number of broken photos that never stops a job."""


@dataclass(frozen=True)
class Options:
    """What a job may be told; the fields up to `shard_photos` stay the same until it is done."""

    top_k: int | None = None
    files: bool = False
    """Write predictions to files too, for tasks that have them, as class maps."""
    engine: str | None = None
    precision: str | None = None
    column: str | None = None
    root: str | None = None
    """What the names of a list are relative to; None for the list's folder."""
    limit: int | None = None
    shard_photos: int = 2000
    on_ray: bool = False
    address: str | None = None
    """Of a Ray cluster; see `RayWorkers`."""
    workers: int | None = None
    """None for one on each core."""
    readers: int = 16
    retries: int = 5
    most_broken: float | None = None
    """A share of the photos; None for one in a hundred, and a hundred photos anyway."""
    share: tuple[int, int] = (0, 1)
    """Which of how many shares of the shards are done here."""
    is_trusted: bool = False


class State(NamedTuple):
    """How far a job has got, according to its folder."""

    job: Job
    done: set[int]
    failures: dict[int, dict[str, Any]]


class Result(NamedTuple):
    """The outcome of one run of a job."""

    progress: Progress
    is_complete: bool
    """Whether the whole job is done, including the shards of other shares."""
    is_stopped: bool
    """Whether the run stopped because too many photos were broken."""
    notes: list[str]


def classify_photos(
    bundle: str,
    source: str,
    out: str,
    options: Options,
    *,
    report: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Classify all photos of a source into parts, or those that earlier runs left.

    Args:
        bundle: as `pplcnet.load` takes it.
        source: a folder, a list, or the pattern of tar files.
        out: the job's folder.
        report: called about twice a second.
        say: called with a line about what is going to be done.

    Raises:
        InputError: wrong input; or the folder holds another job or cannot be written to.
        StorageError: a failure that retrying would not fix.
    """
    if not is_address(out):
        check_writable(out)
    network = look_at_network(bundle, options.engine, options.precision)
    if options.files and not network.file_ending:
        raise InputError(
            f"{bundle}: a bundle for {network.task} has nothing to write to files; leave out "
            "--files."
        )
    found = find_source(source, options.column, options.root)
    # Workers on other machines have other working directories.
    place = out if is_address(out) else os.path.abspath(out)
    if options.files and found.holds(place):
        raise InputError(
            f"{out}: lies in the photos' folder {source}, where the files of --files would be read "
            "as photos the next time; choose another --out."
        )
    storage = open_storage(out)
    passed_over = PassedOver()
    if options.share[0]:
        _wait_for_plan(storage, out, say)
    job = begin_job(
        storage,
        out,
        _wanted(network, found, options),
        network,
        found,
        lambda: _plan(storage, found, options, passed_over),
    )
    numbers = range(options.share[0], job.plan.shards, options.share[1])
    done = done_shards(storage)
    progress = _progress_before(storage, job, numbers, done)
    say(_beginning(job, network, progress))
    settings = Settings(bundle, job, place, options.readers, options.is_trusted)
    is_stopped = False
    to_do = [each for each in numbers if each not in done]
    if to_do:
        with _workers_of(settings, options, len(to_do), say) as opened:
            driver = Driver(opened, storage, progress, _limits(options), report)
            try:
                driver.run(read_shards(storage, job.plan, to_do))
            except TooManyBrokenError:
                is_stopped = True
    is_complete = _finish(storage, job) if not is_stopped else False
    return Result(progress, is_complete, is_stopped, passed_over.notes())


def state_of(out: str) -> State:
    """How far a job has got; InputError if there is no job in the folder."""
    storage = open_storage(out)
    job = read_job(storage, out)
    if job is None:
        raise InputError(f"{out}: no job of 'pplcnet classify' there.")
    done = done_shards(storage)
    failures = {each: why for each, why in failures_of(storage).items() if each not in done}
    return State(job, done, failures)


def merge_job(out: str) -> int:
    """Write all parts of a finished job to one file, MERGED_FILE; returns its number of rows."""
    state = state_of(out)
    missing = state.job.plan.shards - len(state.done)
    if missing:
        raise InputError(
            f"{out}: {missing} of {counted(state.job.plan.shards, 'part')} are missing; finish the "
            "job first."
        )
    return merge_parts(open_storage(out), state.job.plan.shards, MERGED_FILE)


def _wait_for_plan(storage: Storage, out: str, say: Callable[[str], None]) -> None:
    """Wait until share 0 has listed the photos, so that only one share does."""
    until = time.monotonic() + WAIT_SECONDS
    while read_job(storage, out) is None:
        if time.monotonic() > until:
            raise InputError(
                f"{out}: there is no job after {duration(WAIT_SECONDS)}; start share 0."
            )
        if until - time.monotonic() > WAIT_SECONDS - POLL_SECONDS:
            say("waiting for share 0 to list the photos")
        time.sleep(POLL_SECONDS)


def _workers_of(
    settings: Settings, options: Options, most: int, say: Callable[[str], None]
) -> AbstractContextManager[Workers]:
    if not options.on_ray:
        return LocalWorkers(settings, min(options.workers or available_cores(), most))
    require("ray", purpose="--on ray", extra="ray")
    from pplcnet.jobs.ray_workers import RayWorkers

    return RayWorkers(settings, options.workers, options.address, say, most=most)


def _wanted(network: JobNetwork, source: Source, options: Options) -> Wanted:
    return Wanted(
        bundle=network.digest,
        engine=network.choice.engine,
        precision=network.choice.precision,
        source=source.place,
        root=source.root,
        column=source.column,
        top_k=options.top_k,
        files=options.files,
        limit=options.limit,
        shard_photos=_shard_names(source, options),
    )


def _shard_names(source: Source, options: Options) -> int:
    return 1 if source.is_of_tars else options.shard_photos


def _plan(storage: Storage, source: Source, options: Options, passed_over: PassedOver) -> Plan:
    names = list_names(source, passed_over)
    plan = plan_shards(
        names,
        storage,
        shard_photos=_shard_names(source, options),
        is_sorted=source.is_sorted,
        limit=options.limit,
    )
    passed_over.raise_unreadable(source.place)
    if not plan.photos:
        raise InputError(f"{source.place}: no photos found.", passed_over.notes())
    return plan


def _progress_before(storage: Storage, job: Job, numbers: range, done: set[int]) -> Progress:
    """What earlier runs completed of these shards."""
    before = [each for each in numbers if each in done]
    # A shard of a tar job is one tar file; its number of photos is not known in advance.
    photos = None
    if not job.source.is_of_tars:
        photos = photos_of(job.plan, job.wanted.shard_photos, numbers)
    progress = Progress(photos, len(numbers), done_shards=len(before))
    for facts in facts_of_parts(storage, before):
        progress.done_photos += facts.photos
        progress.broken += facts.broken
    return progress


def _limits(options: Options) -> Limits:
    if options.most_broken is not None:
        return Limits(options.retries, options.most_broken, 0)
    return Limits(options.retries, MOST_BROKEN, BROKEN_ANYWAY)


def _beginning(job: Job, network: JobNetwork, progress: Progress) -> str:
    text = f"photos in {counted(progress.shards, 'tar file')}"
    if progress.photos is not None:
        text = f"{counted(progress.photos, 'photo')} in {counted(progress.shards, 'shard')}"
    if progress.done_shards:
        text += f", {progress.done_shards} of them done before"
    return f"{text}; {network.name} on {job.wanted.engine} {job.wanted.precision}"


def _finish(storage: Storage, job: Job) -> bool:
    """Write the summary once all parts exist; returns whether they do."""
    done = done_shards(storage)
    if len(done) < job.plan.shards:
        return False
    for number in failures_of(storage):
        storage.remove(failed_name(number))
    photos = broken = 0
    for facts in facts_of_parts(storage, sorted(done)):
        photos += facts.photos
        broken += facts.broken
    summary = {
        "photos": photos,
        "broken": broken,
        "broken_share": round(broken / photos, 6) if photos else None,
        "parts": job.plan.shards,
        "network": job.facts.get("network"),
        "engine": job.wanted.engine,
        "precision": job.wanted.precision,
        "plan": job.plan.digest,
    }
    try:
        storage.write(SUMMARY_FILE, (json_text(summary, indent=2) + "\n").encode())
    except StorageFailure:
        # Another share finished at the same time and removed the file being written here.
        if storage.read(SUMMARY_FILE) is None:
            raise
    remove_leftovers(storage)
    return True
