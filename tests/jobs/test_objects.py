"""Photos and jobs in object storage: a real S3 server behind a proxy that fails."""

from __future__ import annotations

import http.client
import io
import tarfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("obstore", reason="needs obstore, which 'make test' installs")

from pplcnet.data.image_files import PassedOver
from pplcnet.errors import InputError, StorageError
from pplcnet.jobs import objects
from pplcnet.jobs.classify import Result, merge_job, state_of
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.objects import Address, Objects, split_address
from pplcnet.jobs.source import find_source, list_names
from tests.jobs.conftest import parts_of
from tests.jobs.object_server import SERVER, Faults, faulty_proxy, s3_server

needs_server = pytest.mark.skipif(
    not SERVER.exists(), reason="needs moto's S3 server; 'make object-server' installs it"
)
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[int, Faults]]:
    with s3_server() as port, faulty_proxy(port) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("PUT", "/bucket")
        assert connection.getresponse().status == 200
        connection.close()
        yield proxy


@pytest.fixture
def faults(servers: tuple[int, Faults], monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """What the proxy does wrong, in a bucket that is empty but for what the test writes."""
    port, faults = servers
    for name, value in (
        ("ENDPOINT", f"http://127.0.0.1:{port}"), ("REGION", "us-east-1"),
        ("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"),
    ):  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setitem(
        objects.RETRIES,
        "backoff",
        {
            "init_backoff": timedelta(milliseconds=1),
            "max_backoff": timedelta(milliseconds=5),
            "base": 2,
        },
    )
    monkeypatch.setattr("pplcnet.jobs.driver.FIRST_PAUSE", 0.01)
    monkeypatch.setattr(objects, "PAUSE", 0.001)
    fresh = Faults()
    vars(faults).update(vars(fresh))
    yield faults
    vars(faults).update(vars(fresh))
    store = Objects("s3://bucket")
    for name in list(store.all_names()):
        store.remove(name)


def _upload(folder: Path, place: str) -> None:
    store = Objects(place)
    for path in folder.rglob("*"):
        if path.is_file() and "\n" not in path.name:
            store.write(path.relative_to(folder).as_posix(), path.read_bytes())


def _download(place: str) -> dict[str, bytes]:
    store = Objects(place)
    found = {name: store.read(name) for name in sorted(store.names("parts"))}
    read = {name: store.read(f"parts/{name}") for name in found}
    return {name: content for name, content in read.items() if content is not None}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://bucket", Address("s3://bucket", "")),
        ("s3://bucket/a b/#1?.jpg", Address("s3://bucket", "a b/#1?.jpg")),
        ("gs://bucket/folder/", Address("gs://bucket", "folder")),
        ("az://account/container/a", Address("az://account/container", "a")),
    ],
)
def test_an_address_has_a_bucket_and_a_key(address: str, expected: Address) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize("address", ["s3://", "az://account", "http://host/a", "ftp://a/b"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"names no bucket|is not an address that is read"):
        split_address(address)


@needs_server
@pytest.mark.usefixtures("faults")
def test_names_of_any_kind_are_listed_and_read() -> None:
    names = [
        "a b.jpg",
        "naïve/ü.png",
        "100%.jpg",
        "%41.jpg",
        "#1.jpg",
        "a+b&c=d?.jpg",
        "x/y/z.webp",
    ]
    store = Objects("s3://bucket/folder")
    for name in [*names, "notes.txt", ".hidden.jpg"]:
        store.write(name, name.encode())
    passed_over = PassedOver()
    found = list(list_names(find_source("s3://bucket/folder"), passed_over))
    assert sorted(found) == sorted(name.encode() for name in names)
    assert [store.read(name.decode()) for name in found] == found
    assert passed_over.files.total() == 2


@needs_server
@pytest.mark.usefixtures("faults")
def test_of_two_that_create_an_object_one_does() -> None:
    store = Objects("s3://bucket/folder")
    assert store.create("job.json", b"first")
    assert not store.create("job.json", b"second")
    assert (store.read("job.json"), store.read("other.json")) == (b"first", None)
    assert (store.exists("job.json"), store.exists("other.json")) == (True, False)


@needs_server
@pytest.mark.usefixtures("workers_here")
def test_a_job_in_object_storage_is_that_of_a_folder_though_requests_fail(
    run_job: Run, common_photos: Path, tmp_path: Path, faults: Faults
) -> None:
    run_job(common_photos, tmp_path / "local")
    _upload(common_photos, "s3://bucket/photos")
    run_job("s3://bucket/photos", "s3://bucket/faultless")
    faultless, faults.requests = faults.requests, 0
    faults.refused, faults.cut, faults.delayed = 0.1, 0.05, 0.02
    result = run_job("s3://bucket/photos", "s3://bucket/JOB")
    requests, faulty = faults.requests, faults.faulty
    faults.refused = faults.cut = faults.delayed = 0
    assert result.is_complete
    assert result.progress.broken == 0
    assert faulty > 3
    assert requests <= 2 * faultless
    assert _download("s3://bucket/JOB") == _download("s3://bucket/faultless")
    assert _download("s3://bucket/JOB") == parts_of(tmp_path / "local")
    assert merge_job("s3://bucket/JOB") == 36
    assert len(state_of("s3://bucket/JOB").done) == 5


@needs_server
@pytest.mark.usefixtures("workers_here")
def test_access_that_is_denied_ends_the_job_at_once(
    run_job: Run, common_photos: Path, faults: Faults
) -> None:
    _upload(common_photos / "class_0", "s3://bucket/photos")
    faults.denied = "/photos/003.png"
    with pytest.raises(StorageError, match=r"photos/003\.png: access is denied"):
        run_job("s3://bucket/photos", "s3://bucket/JOB")


@needs_server
@pytest.mark.usefixtures("workers_here")
def test_storage_that_never_answers_makes_no_rows(
    run_job: Run,
    common_photos: Path,
    faults: Faults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _upload(common_photos / "class_0", "s3://bucket/photos")
    monkeypatch.setitem(objects.RETRIES, "max_retries", 1)
    run_job("s3://bucket/photos", tmp_path / "JOB", share=(0, 2))
    faults.refused = 1.0
    result = run_job("s3://bucket/photos", tmp_path / "JOB", retries=1)
    assert list(result.progress.failed) == [1]
    assert "s3://bucket/photos/" in result.progress.failed[1]
    assert sorted(parts_of(tmp_path / "JOB")) == ["part-000000.parquet"]
    with pytest.raises(StorageFailure):
        list(list_names(find_source("s3://bucket/photos"), PassedOver()))


@needs_server
@pytest.mark.usefixtures("workers_here", "faults")
def test_lists_and_tars_in_object_storage(
    run_job: Run, common_photos: Path, tmp_path: Path
) -> None:
    _upload(common_photos / "class_0", "s3://bucket/photos")
    Objects("s3://bucket").write("lists/a.txt", b"s3://bucket/photos/001.png\n../gone.png\n")
    result = run_job("s3://bucket/lists/a.txt", tmp_path / "of list")
    assert (result.progress.done_photos, result.progress.broken) == (2, 1)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted((common_photos / "class_0").iterdir()):
            tar.add(path, path.name)
    Objects("s3://bucket").write("packed/1.tar", packed.getvalue())
    result = run_job("s3://bucket/packed/*.tar", tmp_path / "of tar")
    assert (result.progress.done_photos, result.progress.broken) == (12, 0)
    of_list, of_tar = (
        pq.read_table(tmp_path / job / "parts").to_pylist() for job in ("of list", "of tar")
    )
    assert of_tar[1] == {**of_list[0], "path": "1.tar/001.png"}
