"""A job's folder; job.json records what was asked for and never changes."""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from pplcnet.bundle.manifest import today
from pplcnet.errors import InputError
from pplcnet.jobs.network import JobNetwork
from pplcnet.jobs.parts import FAILED_FOLDER, PARTS_FOLDER
from pplcnet.jobs.plan import PLAN_FOLDER, Plan
from pplcnet.jobs.source import Source
from pplcnet.jobs.storage import Storage
from pplcnet.system.wording import json_text, listed

__all__ = ["JOB_FILE", "SUMMARY_FILE", "Job", "Wanted", "begin_job", "read_job"]

JOB_FILE, SUMMARY_FILE = "job.json", "summary.json"
FORMAT, FORMAT_VERSION = "pplcnet classify job", 1
LIBRARIES = ("pplcnet", "numpy", "pillow", "pyarrow", "onnxruntime", "openvino", "ray", "obstore")


@dataclass(frozen=True)
class Wanted:
    """Everything the answers depend on; a command that resumes the job must ask for the same."""

    bundle: str
    """sha256 of the network and of how its outputs are decoded."""
    engine: str
    precision: str
    source: str
    root: str
    column: str
    top_k: int | None
    files: bool
    limit: int | None
    shard_photos: int


@dataclass(frozen=True)
class Job:
    """The content of job.json."""

    id: str
    """A random id; tells apart jobs that used the same path at different times."""
    wanted: Wanted
    source: Source
    plan: Plan
    facts: dict[str, Any]
    """For readers: network, task, versions, start time."""

    def to_json(self) -> str:
        """The text of job.json."""
        values = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "id": self.id,
            **self.facts,
            "wanted": asdict(self.wanted),
            "source": self.source._asdict(),
            "plan": self.plan._asdict(),
        }
        return json_text(values, indent=2) + "\n"


def read_job(storage: Storage, place: str) -> Job | None:
    """Read the job in a folder; None if there is none.

    Args:
        place: the folder's name in messages.

    Raises:
        InputError: it is damaged, or was written by a newer version.
    """
    content = storage.read(JOB_FILE)
    if content is None:
        return None
    try:
        values = json.loads(content)
        if values.pop("format") != FORMAT:
            raise InputError(f"{place}: its {JOB_FILE} is not that of a classify job.")
        if values.pop("format_version") > FORMAT_VERSION:
            raise InputError(f"{place}: was started by a newer pplcnet; install that version.")
        job = Job(
            values.pop("id"),
            Wanted(**values.pop("wanted")),
            Source(**values.pop("source")),
            Plan(**values.pop("plan")),
            values,
        )
        _check_types(job)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{place}: its {JOB_FILE} is damaged ({error}).") from error
    return job


def _check_types(job: Job) -> None:
    """Raise TypeError if a value of job.json has the wrong type."""
    wanted, source, plan = job.wanted, job.source, job.plan
    texts = (job.id, wanted.bundle, wanted.engine, wanted.precision, plan.digest, *source)
    if not all(isinstance(each, str) for each in texts):
        raise TypeError("id, bundle, engine, precision, source and digest must be text")
    if not all(isinstance(each, int) for each in (plan.photos, plan.shards, wanted.shard_photos)):
        raise TypeError("photos, shards and shard_photos must be whole numbers")
    if not isinstance(wanted.top_k, int | None):
        raise TypeError("top_k must be a whole number")


def begin_job(
    storage: Storage,
    place: str,
    wanted: Wanted,
    network: JobNetwork,
    source: Source,
    make_plan: Callable[[], Plan],
) -> Job:
    """The job in a folder, started now unless it already exists.

    If several processes start it at once, one succeeds and the others use its plan.

    Raises:
        InputError: it is a different job, or the folder is not empty and holds no job.
    """
    job = read_job(storage, place)
    if job is None:
        _check_empty(storage, place)
        plan = make_plan()
        facts = {
            "network": network.name,
            "task": network.task,
            "begun": today(),
            "versions": {"python": platform.python_version(), **_versions()},
        }
        job = Job(uuid.uuid4().hex, wanted, source, plan, facts)
        if not storage.create(JOB_FILE, job.to_json().encode()):
            job = read_job(storage, place)
            if job is None:
                raise InputError(f"{place}: {JOB_FILE} was deleted while the job started.")
    differences = [
        f"{name} {_shown(there)}, now {_shown(now)}"
        for (name, there), now in zip(
            asdict(job.wanted).items(), asdict(wanted).values(), strict=True
        )
        if there != now
    ]
    if differences:
        raise InputError(
            f"{place}: holds a job that was started with {'; '.join(differences)}; give the same "
            "again, or another --out."
        )
    return job


def _shown(value: object) -> str:
    text = "none" if value is None or value == "" else str(value)
    return text[:12] if len(text) == 64 else text  # a digest


def _check_empty(storage: Storage, place: str) -> None:
    own = {PLAN_FOLDER, PARTS_FOLDER, FAILED_FOLDER}
    if others := sorted(
        name for name in storage.names("") if name not in own and not name.startswith(".")
    ):
        raise InputError(
            f"{place}: holds no job, but {listed(others)}; give an empty or a new folder as --out."
        )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
