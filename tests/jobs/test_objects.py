"""Photos and jobs in object storage: a real S3 server behind a proxy that fails."""

from __future__ import annotations

import http.client
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from tests.jobs.object_server import (
    AZURITE,
    SERVER,
    Faults,
    azure_server,
    faulty_proxy,
    s3_server,
)

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
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.remove, list(store.all_names())))


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
    with pytest.raises(InputError, match=r"names no bucket|is not a supported address"):
        split_address(address)


def _write_odd_names(place: str) -> None:
    """Names of any kind are written, listed and read."""
    names = [
        "a b.jpg", "naïve/ü.png", "100%.jpg", "%41.jpg", "#1.jpg", "a+b&c=d?.jpg", "x/y/z.webp",
    ]  # fmt: skip
    store = Objects(place)
    for name in [*names, "notes.txt", ".hidden.jpg"]:
        store.write(name, name.encode())
    passed_over = PassedOver()
    found = list(list_names(find_source(place), passed_over))
    assert sorted(found) == sorted(name.encode() for name in names)
    assert [store.read(name.decode()) for name in found] == found
    assert passed_over.files.total() == 2
    assert (store.read("gone"), store.exists("gone"), store.exists("x/y/z.webp")) == (
        None, False, True,
    )  # fmt: skip
    assert store.stream("100%.jpg").read() == b"100%.jpg"
    store.remove("100%.jpg")
    assert not store.exists("100%.jpg")


@needs_server
@pytest.mark.usefixtures("faults")
def test_names_of_any_kind_are_listed_and_read() -> None:
    _write_odd_names("s3://bucket/folder")


@needs_server
def test_google_storage_is_reached_by_its_interface_which_is_that_of_s3(
    servers: tuple[int, Faults], faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"gcs_base_url": f"http://127.0.0.1:{servers[0]}", "disable_oauth": True}
    account = tmp_path / "account.json"
    account.write_text(
        json.dumps({**key, "client_email": "", "private_key": "", "private_key_id": ""})
    )
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    faults.delayed = 0.1
    _write_odd_names("gs://bucket/folder")
    assert faults.requests > 10


def test_an_azure_address_names_account_and_container(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AZURE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    store = Objects("az://account/container/folder")._store
    assert store.config["account_name"] == "account"
    assert store.config["container_name"] == "container"


@pytest.mark.slow
@pytest.mark.skipif(not AZURITE, reason="needs azurite-blob, which 'npm install azurite' installs")
def test_azure_storage_is_reached_in_its_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    with azure_server(tmp_path):
        _write_odd_names("az://devstoreaccount1/photos/folder")
        store = Objects("az://devstoreaccount1/photos")
        assert (store.create("job", b"1"), store.create("job", b"2")) == (True, False)


@needs_server
@pytest.mark.slow
@pytest.mark.usefixtures("servers")
def test_folders_of_several_pages_are_listed_side_by_side(faults: Faults) -> None:
    names = [f"{folder}/{number:04d}.jpg" for folder in "ab" for number in range(1050)]
    store = Objects("s3://bucket/many")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write(name, b""), names))
    faults.requests = 0
    assert sorted(store.all_names()) == names
    assert faults.requests <= 6  # four pages, and one behind the end of each folder


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
