"""Jobs as a whole: every photo has one row, and whatever is interrupted goes on."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pplcnet
from pplcnet.data.image_files import read_image_file
from pplcnet.errors import InputError, StorageError
from pplcnet.jobs import classify
from pplcnet.jobs import photos as reading
from pplcnet.jobs.classify import Result, merge_job, state_of
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.storage import Folder
from pplcnet.tasks.classification.decoding import ClassPrediction
from tests.jobs.conftest import WorkersHere, parts_of

pytestmark = pytest.mark.usefixtures("workers_here")
Run = Callable[..., Result]


def _rows(job: Path) -> list[dict[str, object]]:
    return pq.read_table(job / "parts").to_pylist()


def test_every_photo_has_the_row_that_predict_many_gives(
    run_job: Run, job_photos: Path, common_bundle: Path, tmp_path: Path
) -> None:
    result = run_job(job_photos, top_k=2)
    assert result.is_complete
    assert (result.progress.done_photos, result.progress.broken) == (38, 2)
    rows = _rows(tmp_path / "JOB")
    paths = [job_photos / str(row["path"]) for row in rows]
    assert sorted(paths) == sorted(job_photos.rglob("*.[pj][np]g"))
    with pplcnet.load(common_bundle) as model:
        for row, prediction in zip(rows, model.predict_many(paths), strict=True):
            if prediction.error is not None:
                assert row["error"] == prediction.error.reason
                assert row["answers"] is None
                assert row["label"] is None
            else:
                assert row["answers"] == prediction.rows(2)
                assert (row["label"], row["error"]) == (prediction.best.label, None)
    summary = json.loads((tmp_path / "JOB" / "summary.json").read_text())
    assert (summary["photos"], summary["broken"], summary["parts"]) == (38, 2, 5)


def test_a_job_goes_on_with_the_shards_that_have_no_part(
    run_job: Run, job_photos: Path, tmp_path: Path, workers_here: list[WorkersHere]
) -> None:
    run_job(job_photos)
    whole = parts_of(tmp_path / "JOB")
    for number in (1, 3):
        (tmp_path / "JOB" / "parts" / f"part-{number:06d}.parquet").unlink()
    (tmp_path / "JOB" / "parts" / ".part-000001.parquet.0af3.writing").write_bytes(b"half of it")
    result = run_job(job_photos)
    assert workers_here[-1].given == [1, 3]
    assert parts_of(tmp_path / "JOB") == whole
    assert (result.progress.done_photos, result.progress.broken) == (38, 2)
    run_job(job_photos)
    assert len(workers_here) == 2


def test_a_shard_that_another_driver_does_meanwhile_is_not_done_again(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(job_photos)
    whole = parts_of(tmp_path / "JOB")
    (tmp_path / "JOB" / "parts" / "part-000004.parquet").unlink()
    # What this driver sees of the others' work when it begins.
    monkeypatch.setattr(classify, "done_shards", lambda storage: set())
    read = []
    monkeypatch.setattr(
        reading, "read_image_file", lambda path: read.append(path) or read_image_file(path)
    )
    result = run_job(job_photos)
    assert (result.progress.done_photos, result.progress.broken, len(read)) == (38, 2, 6)
    assert parts_of(tmp_path / "JOB") == whole


def test_the_plan_stays_when_photos_are_added(
    run_job: Run, job_photos: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(job_photos, photos)
    run_job(photos)
    (tmp_path / "JOB" / "parts" / "part-000000.parquet").unlink()
    shutil.copy(photos / "class_0" / "000.png", photos / "class_0" / "000a.png")
    (photos / "class_0" / "001.png").unlink()
    run_job(photos)
    rows = {row["path"]: row for row in _rows(tmp_path / "JOB")}
    assert len(rows) == 38
    assert "No such file" in str(rows["class_0/001.png"]["error"])


def test_a_job_with_other_choices_is_refused_and_says_which(
    run_job: Run, job_photos: Path, common_photos: Path
) -> None:
    run_job(job_photos)
    with pytest.raises(InputError, match=r"started with top_k none, now 3; shard_photos 8, now 9;"):
        run_job(job_photos, top_k=3, shard_photos=9)
    with pytest.raises(InputError, match=r"started with source .*, now .*/common"):
        run_job(common_photos)


def test_a_folder_with_other_files_is_not_taken_for_a_job(
    run_job: Run, job_photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "JOB").mkdir()
    (tmp_path / "JOB" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds no job, but thesis\.tex"):
        run_job(job_photos)
    with pytest.raises(InputError, match="no job of"):
        state_of(str(tmp_path / "JOB"))


def test_a_list_gives_rows_in_its_order_and_by_its_names(
    run_job: Run, job_photos: Path, tmp_path: Path
) -> None:
    names = [str(job_photos / "class_1" / "003.png"), "gone.jpg", "class_0/000.png", "gone.jpg"]
    shutil.copytree(job_photos / "class_0", tmp_path / "class_0")
    (tmp_path / "list.txt").write_text("\n".join(names))
    run_job(tmp_path / "list.txt", shard_photos=3)
    rows = _rows(tmp_path / "JOB")
    assert [row["path"] for row in rows] == names
    assert [row["error"] is None for row in rows] == [True, False, True, False]


def test_predictions_that_can_be_written_are_written_to_files(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="has nothing to write to files"):
        run_job(job_photos, files=True)
    (tmp_path / "photos").mkdir()
    monkeypatch.setattr(ClassPrediction, "file_ending", ".txt")
    monkeypatch.setattr(
        ClassPrediction, "write", lambda self, path: path.write_text(self.best.label)
    )
    with pytest.raises(InputError, match="lies in the photos' folder"):
        run_job(tmp_path / "photos", tmp_path / "photos" / "JOB", files=True)
    run_job(job_photos, files=True)
    rows = _rows(tmp_path / "JOB")
    assert len({row["file"] for row in rows}) == 37
    for row in rows:
        if row["error"] is None:
            assert (tmp_path / "JOB" / str(row["file"])).read_text() == row["label"]
        else:
            assert row["file"] is None


def test_shares_of_the_shards_make_up_the_job(
    run_job: Run, job_photos: Path, tmp_path: Path
) -> None:
    run_job(job_photos, tmp_path / "whole")
    results = [run_job(job_photos, share=(share, 3)) for share in range(3)]
    assert [each.is_complete for each in results] == [False, False, True]
    assert [each.progress.photos for each in results] == [16, 14, 8]
    assert parts_of(tmp_path / "JOB") == parts_of(tmp_path / "whole")


def test_the_other_shares_wait_for_the_plan_of_the_first(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify, "WAIT_SECONDS", 0.0)
    with pytest.raises(InputError, match=r"there is no job after .*; start share 0"):
        run_job(job_photos, share=(1, 2))
    assert not (tmp_path / "JOB").exists()


def test_parts_are_merged_in_order_once_all_are_there(
    run_job: Run, job_photos: Path, tmp_path: Path
) -> None:
    run_job(job_photos, share=(0, 2))
    with pytest.raises(InputError, match="2 of 5 parts are missing"):
        merge_job(str(tmp_path / "JOB"))
    run_job(job_photos)
    assert merge_job(str(tmp_path / "JOB")) == 38
    merged = pq.read_table(tmp_path / "JOB" / "results.parquet")
    assert merged.to_pylist() == _rows(tmp_path / "JOB")


def test_a_storage_error_is_no_broken_photo_and_the_shard_is_tried_again(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(job_photos, tmp_path / "whole")
    read, failures = reading.read_image_file, []

    def read_worse(path: str) -> object:
        if path.endswith("class_1/004.png") and len(failures) < 2:
            failures.append(path)
            raise OSError(errno.EIO, "Input/output error", path)
        return read(path)

    monkeypatch.setattr("pplcnet.jobs.driver.FIRST_PAUSE", 0.001)
    monkeypatch.setattr(reading, "read_image_file", read_worse)
    result = run_job(job_photos)
    assert len(failures) == result.progress.retried == 2
    assert parts_of(tmp_path / "JOB") == parts_of(tmp_path / "whole")


def test_a_shard_that_was_given_up_is_tried_by_the_same_command(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reading.read_image_file

    def fail(path: str) -> object:
        if path.endswith("class_1/004.png"):
            raise OSError(errno.EIO, "Input/output error", path)
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(reading, "read_image_file", fail)
        result = run_job(job_photos, retries=0)
    assert list(result.progress.failed) == [2]
    assert not result.is_complete
    assert "Input/output error" in state_of(str(tmp_path / "JOB")).failures[2]["reason"]
    assert not (tmp_path / "JOB" / "summary.json").exists()
    assert run_job(job_photos).is_complete
    assert state_of(str(tmp_path / "JOB")).failures == {}


def test_a_full_disk_ends_the_job_and_leaves_no_half_of_a_part(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Folder.write

    def fill_up(self: Folder, name: str, content: bytes) -> None:
        if not name.startswith("parts/"):
            return write(self, name, content)
        # /dev/full is a disk that is full: the write fails as on a real one.
        with monkeypatch.context() as patched:
            patched.setattr("pathlib.Path.open", lambda *_, **__: open("/dev/full", "wb"))  # noqa: SIM115
            return write(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", fill_up)
        with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\)"):
            run_job(job_photos)
    assert list((tmp_path / "JOB" / "parts").iterdir()) == []
    assert run_job(job_photos).is_complete


def test_a_disk_with_photos_that_is_gone_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="no such folder on this machine"):
        reading.Photos(str(tmp_path / "photos")).read(b"class_0/000.png")


def test_too_many_broken_photos_stop_the_job_until_more_are_allowed(
    run_job: Run, job_photos: Path
) -> None:
    result = run_job(job_photos, most_broken=0.01)
    assert (result.is_stopped, result.is_complete) == (True, False)
    assert run_job(job_photos, most_broken=0.1).is_complete


@pytest.mark.parametrize("content", [b"", b"PAR1", None], ids=["empty", "cut off", "another's"])
def test_a_part_that_is_damaged_is_named_and_can_be_made_again(
    run_job: Run, job_photos: Path, tmp_path: Path, content: bytes | None
) -> None:
    run_job(job_photos)
    part = tmp_path / "JOB" / "parts" / "part-000001.parquet"
    whole = part.read_bytes()
    if content is None:
        pq.write_table(pa.table({"path": ["a.jpg"]}), part)
    else:
        part.write_bytes(content)
    for again in (lambda: run_job(job_photos), lambda: merge_job(str(tmp_path / "JOB"))):
        with pytest.raises(InputError, match=r"parts/part-000001\.parquet: is damaged, or not a"):
            again()
    part.unlink()
    assert run_job(job_photos).is_complete
    assert part.read_bytes() == whole


def test_what_is_damaged_in_a_job_is_named(run_job: Run, job_photos: Path, tmp_path: Path) -> None:
    run_job(job_photos, share=(0, 2))
    job = tmp_path / "JOB"
    (plan,) = (job / "plan").iterdir()
    plan.write_bytes(plan.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"plan/.*: this file of the job's plan is damaged"):
        run_job(job_photos)
    (job / "failed").mkdir()
    (job / "failed" / "shard-000001.json").write_text("{")
    assert "damaged" in state_of(str(job)).failures[1]["reason"]
    facts = json.loads((job / "job.json").read_text())
    for text in ("[" * 100_000, json.dumps({**facts, "plan": {**facts["plan"], "shards": "5"}})):
        (job / "job.json").write_text(text)
        with pytest.raises(InputError, match=r"its job\.json is damaged"):
            state_of(str(job))


def test_a_file_in_place_of_the_jobs_folder_is_refused_before_photos_are_listed(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify, "list_names", None)
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "JOB"):
        with pytest.raises(InputError, match="a file, not a folder; choose another place"):
            run_job(job_photos, out)


def test_an_address_in_a_list_that_is_not_read_is_a_row_with_an_error(
    run_job: Run, job_photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("obstore", reason="needs obstore, which 'make test' installs")
    photo = str(job_photos / "class_1" / "003.png")
    (tmp_path / "list.txt").write_text(f"http://host/a.jpg\n{photo}\ns3://\n")
    assert run_job(tmp_path / "list.txt").is_complete
    first, second, third = _rows(tmp_path / "JOB")
    assert "http://host/a.jpg: is not a supported address" in str(first["error"])
    assert second["error"] is None
    assert "names no bucket" in str(third["error"])


def test_workers_are_told_the_whole_path_of_the_job(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    own = classify.Settings
    monkeypatch.setattr(classify, "Settings", lambda *given: told.append(own(*given)) or told[-1])
    monkeypatch.chdir(tmp_path)
    run_job(job_photos, Path("JOB"))
    assert told[0].out == str(tmp_path / "JOB")


def test_of_two_shares_that_end_at_once_neither_fails_at_the_others_summary(
    run_job: Run, job_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Folder.write

    def overtaken(self: Folder, name: str, content: bytes) -> None:
        write(self, name, content)
        if name == "summary.json":  # what is seen where its temporary file was removed
            raise StorageFailure(f"{name}: cannot be written (No such file or directory).")

    monkeypatch.setattr(Folder, "write", overtaken)
    assert run_job(job_photos).is_complete
