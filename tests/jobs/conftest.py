"""Jobs on a few small photos, with workers in this process or real ones."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="jobs need pyarrow, which 'make test' installs")

from pplcnet.jobs import classify
from pplcnet.jobs.classify import Options, Result, classify_photos
from pplcnet.jobs.driver import Died, Ready
from pplcnet.jobs.plan import Shard
from pplcnet.jobs.worker import Outcome, Settings, Worker


class WorkersHere:
    """One worker in this process, which does a shard when it is asked what has happened."""

    def __init__(self, settings: Settings) -> None:
        self._worker = Worker(settings)
        self._waiting: deque[Shard] = deque()
        self._is_ready = False
        self.given: list[int] = []

    def give(self, worker: int, shard: Shard) -> None:
        self.given.append(shard.number)
        self._waiting.append(shard)

    def events(self, seconds: float) -> list[Ready | Died | tuple[int, Outcome]]:
        if not self._is_ready:
            self._is_ready = True
            return [Ready(0)]
        return [(0, self._worker.do(self._waiting.popleft()))] if self._waiting else []

    def describe(self) -> str:
        return "one worker"


@pytest.fixture(scope="session")
def job_photos(tmp_path_factory: pytest.TempPathFactory, common_photos: Path) -> Path:
    """38 photos in four folders, of which one is broken and one empty: not to be changed."""
    folder = tmp_path_factory.mktemp("job") / "photos"
    shutil.copytree(common_photos, folder)
    (folder / "odd names").mkdir()
    (folder / "odd names" / "a%20 #1\nnaïve.jpg").write_bytes(b"no photo at all")
    (folder / "odd names" / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture
def workers_here(monkeypatch: pytest.MonkeyPatch) -> list[WorkersHere]:
    """Jobs have one worker in this process; every run of a job adds it to this list."""
    made: list[WorkersHere] = []

    @contextmanager
    def workers(settings: Settings, *_: object) -> Iterator[WorkersHere]:
        made.append(WorkersHere(settings))
        yield made[-1]

    monkeypatch.setattr(classify, "_workers_of", workers)
    return made


@pytest.fixture(scope="session")
def undisturbed_parts(
    common_bundle: Path, job_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The parts of a job of shards of four photos, which nothing happens to."""
    job = tmp_path_factory.mktemp("undisturbed") / "JOB"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            classify, "_workers_of", lambda settings, *_: nullcontext(WorkersHere(settings))
        )
        options = Options(shard_photos=4, most_broken=1.0)
        classify_photos(str(common_bundle), str(job_photos), str(job), options)
    return parts_of(job)


@pytest.fixture
def run_job(common_bundle: Path, tmp_path: Path) -> Callable[..., Result]:
    """Runs a job of shards of eight photos, in JOB beside the test's other files."""

    def run(source: Path | str, out: Path | None = None, **options: object) -> Result:
        given = Options(**{"shard_photos": 8, "most_broken": 1.0, **options})  # type: ignore[arg-type]
        return classify_photos(str(common_bundle), str(source), str(out or tmp_path / "JOB"), given)

    return run


def parts_of(job: Path) -> dict[str, bytes]:
    """The parts' names and bytes."""
    return {each.name: each.read_bytes() for each in sorted((job / "parts").iterdir())}
